#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Sliced Wasserstein distance between local patches, level by level of the Laplacian pyramid (Karras et al.
/// 2018, section 5; core/metrics/sliced_wasserstein.h), times 1,000 as published. As many images of either
/// set as the smaller keeps, 8,192 at most. Details list the levels. Needs no features. Memory a rank, beside the
/// pixels kept: as much again, 25 kB an image and channel of its own, and 64 MB for each million patches of all.
Metric sliced_wasserstein_metric();

}  // namespace ganymede
