#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Structural similarity (Wang et al. 2004) of reconstructions and their originals: the mean over pairs
/// (core/metrics/image_similarity.h); 1 for equal sets.
Metric ssim_metric();

}  // namespace ganymede
