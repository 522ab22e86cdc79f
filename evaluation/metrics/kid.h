#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Kernel inception distance (Binkowski et al. 2018; core/metrics/kernel_distance.h): the mean over random
/// subsets of both sets, shared out among the ranks (evaluation/rounds.h), with its standard error. Subsets are as
/// large as asked for, or of 1,000 images, or of as many as the smaller set has.
Metric kid_metric();

}  // namespace ganymede
