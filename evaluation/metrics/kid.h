#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Kernel inception distance (Binkowski et al. 2018; core/metrics/kernel_distance.h): the mean over random
/// subsets of both sets, each computed by one rank. Subsets are as large as asked for, or as the smaller set
/// where nothing was asked.
Metric kid_metric();

}  // namespace ganymede
