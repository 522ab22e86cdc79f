#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// For the metrics that are Frechet distances of blocks of the scored images to the reference.

std::vector<std::int64_t> every_block(std::int64_t blocks);

/// The distance of each list of blocks, taken together, shared out among the ranks. Collective.
std::vector<double> frechet_distances(const MetricInput& input,
                                      const std::vector<std::vector<std::int64_t>>& lists);

/// Throws Error(dataset) unless both sets have two images or more.
void check_frechet(const MetricOptions& options, std::int64_t images, std::int64_t reference);

}  // namespace ganymede
