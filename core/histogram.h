#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace ganymede {

/// How often values fall between edges: counts[i] of them in [edges[i], edges[i + 1]), the last bin with its
/// right edge.
struct Histogram {
  double min = 0, max = 0, sum = 0, sum_of_squares = 0;
  std::vector<double> edges;   ///< [bins + 1]
  std::vector<double> counts;  ///< [bins]
  double count() const;
};

/// The finite values of a tensor of any shape and device in `bins` even bins from the least to the greatest:
/// numpy.histogram(values, bins). Where all are equal the bins reach 0.5 to either side. Of more than `most`
/// values, `most` or somewhat fewer at an even distance in memory are taken, so that the cost is bounded.
/// Nothing where no value is finite.
std::optional<Histogram> histogram_of(const at::Tensor& values, std::int64_t bins = 64,
                                      std::int64_t most = 65536);

}  // namespace ganymede
