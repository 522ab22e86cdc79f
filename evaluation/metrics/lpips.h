#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// LPIPS (models/features/lpips.h) between reconstructions and their originals: the mean over pairs. Its network
/// comes with MetricOptions::lpips.
Metric lpips_metric();

}  // namespace ganymede
