#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// FID at infinite sample size, by extrapolation over growing runs of blocks (Chong and Forsyth 2020;
/// core/metrics/ frechet_blocks.h). Needs eight blocks at least.
Metric fid_infinity_metric();

}  // namespace ganymede
