#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Perceptual path length in z (Karras et al., "A style-based generator architecture for generative adversarial
/// networks", 2019, section 4.1):
///
///     mean of LPIPS(G(path(z0, z1; t)), G(path(z0, z1; t + eps))) / eps^2,   eps = 1e-4, t uniform in [0, 1)
///
/// over as many paths as images are scored, without the lowest and the highest percent of the figures, as in NVIDIA's
/// tools; with the standard error of that mean. Images are not cropped; a side that is a multiple of 256 beyond it is
/// averaged down to 256. They stay floats: rounded to bytes both ends would be equal. Truncation is the run's option
/// and off unless asked for. Of a generator that maps z to w this is the length in z, not in w. Needs drawn images
/// and MetricOptions::lpips.
Metric path_length_metric();

}  // namespace ganymede
