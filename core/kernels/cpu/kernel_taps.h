#pragma once

#include <torch/types.h>

#include <vector>

namespace ganymede::cpu {

/// A linear map from the positions of a convolution's kernel to those of one or several others:
///
///     out[phase, o, t, i] = factor * sum over k in sources[phase][t] of w[o, k, i]
///
/// o, i: output and input channels; k, t: positions, row by row.
struct TapMap {
  std::int64_t inputs = 1;  ///< positions k
  double factor = 1;
  std::vector<std::vector<std::vector<std::int64_t>>> sources = {{{0}}};  ///< [phases][outputs]

  std::int64_t phases() const { return static_cast<std::int64_t>(sources.size()); }
  std::int64_t outputs() const { return static_cast<std::int64_t>(sources.front().size()); }
  /// The map as a matrix [phases * outputs, inputs].
  at::Tensor matrix(const at::TensorOptions& options) const;
};

/// The map of w [O, inputs, I], times `scale`, as `type`: [phases * O, outputs, I]. CPU, dense, float32 or
/// float64 to the same or to bfloat16. Not an autograd operation.
at::Tensor map_taps(const TapMap& map, const at::Tensor& w, double scale, at::ScalarType type);

/// Its adjoint, from g [phases * O, outputs, I] to `like`'s shape and type [O, inputs, I], and the inner
/// product of the result with `like`.
std::pair<at::Tensor, double> gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like,
                                          double scale);

}  // namespace ganymede::cpu
