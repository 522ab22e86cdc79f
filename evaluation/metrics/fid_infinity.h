#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// FID at infinite sample size, by extrapolation over growing runs of blocks (Chong and Forsyth 2020;
/// core/metrics/frechet_blocks.h). Needs eight blocks at least, and eight images a dimension: the line is one in
/// 1 / N only where the smallest run, a quarter of them, is well above the dimensions (the paper's is 2.4 times).
Metric fid_infinity_metric();

}  // namespace ganymede
