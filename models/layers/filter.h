#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Resamples each channel of x [N, C, H, W] with the separable filter (1, 3, 3, 1) / 8 (Karras et al., arXiv
/// 1912.04958, appendix B; Zhang, arXiv 1904.11486): `up` - 1 zeros behind each pixel, `before` zeros in front of and
/// `after` zeros behind the rows and columns, the filter, times up^2 so that upsampling keeps the brightness, and of
/// the result each `down`-th row and column:
///
///     H -> (up H + before + after - 4) / down + 1     (rounded down)
///
/// Its adjoint is of the same kind: differentiable to any order.
struct Resampling {
  std::int64_t up = 1, down = 1;
  std::int64_t before = 0, after = 0;
  double gain = 1;  ///< of each axis, on top
};
at::Tensor filtered(const at::Tensor& x, const Resampling& resampling);

/// [N, C, 2 H, 2 W].
inline at::Tensor filtered_up(const at::Tensor& x) {
  return filtered(x, {.up = 2, .down = 1, .before = 2, .after = 1});
}
/// [N, C, H / 2, W / 2], H and W even.
inline at::Tensor filtered_down(const at::Tensor& x) {
  return filtered(x, {.up = 1, .down = 2, .before = 1, .after = 1});
}

/// Each channel of x [N, C, H, W] smoothed by (1, 2, 1) / 4 along both axes, zeros around it: what StyleGAN has behind
/// each upsampling and in front of each downsampling (Karras et al., arXiv 1812.04948, appendix C). Differentiable to
/// any order.
at::Tensor binomial_filtered(const at::Tensor& x);

}  // namespace ganymede
