#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Peak signal-to-noise ratio in dB of reconstructions beside their originals: the mean over pairs
/// (core/metrics/image_similarity.h). Pairs that are equal, whose ratio is infinite, are counted apart.
Metric psnr_metric();

}  // namespace ganymede
