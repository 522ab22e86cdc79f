#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// How alike the images are among themselves: the mean MS-SSIM over random pairs (Odena et al. 2017,
/// section 4.2; core/metrics/image_similarity.h) of 2,000 images at most, with the standard error over the pairs. Lower is more
/// diverse; read it beside that of the reference. Needs no features.
Metric ms_ssim_metric();

}  // namespace ganymede
