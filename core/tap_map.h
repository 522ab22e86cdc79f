#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ganymede {

/// A linear map from the positions of a convolution's kernel to those of one or several others:
///
///     out[phase, o, t, i] = factor * sum over k in sources[phase][t] of w[o, k, i]
///
/// o, i: output and input channels; k, t: positions, row by row.
struct TapMap {
  std::int64_t inputs = 1;  ///< positions k
  double factor = 1;
  std::vector<std::vector<std::vector<std::int64_t>>> sources = {
      {{0}}};  ///< [phases][outputs]: 1, 2 or 4 each

  std::int64_t phases() const { return static_cast<std::int64_t>(sources.size()); }
  std::int64_t outputs() const { return static_cast<std::int64_t>(sources.front().size()); }
  /// The map as a matrix [phases * outputs, inputs].
  at::Tensor matrix(const at::TensorOptions& options) const;
};

/// The map of w [O, inputs, I], divided by `sigma` (a scalar of w's type beside it, or undefined for 1), as
/// `type`: [phases * O, outputs, I]. On the CPU or a CUDA device, dense, float32 or float64 to the same,
/// bfloat16 or float16. Not an autograd operation.
///
/// Bytes moved: w read once, the result written once; the CPU waits for sigma, a GPU reads it as it goes.
at::Tensor map_taps(const TapMap& map, const at::Tensor& w, const at::Tensor& sigma, at::ScalarType type);

struct GatheredTaps {
  at::Tensor rows;     ///< of `like`'s shape and type
  at::Tensor product;  ///< the inner product of rows and `like`, a float64 scalar on their device
};
/// Its adjoint, from g [phases * O, outputs, I] to `like`'s shape and type [O, inputs, I].
///
/// Bytes moved: g and `like` read once, the result written once.
GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like,
                         const at::Tensor& sigma);

}  // namespace ganymede
