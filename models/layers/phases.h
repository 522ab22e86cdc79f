#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

// An image [N, C, 2 H, 2 W] as four of half its size: position (i, j) of phase (a, b) is pixel (2 i + a, 2 j + b).
// Where the image is a 3x3 convolution of one that was doubled in size (nearest), phase (a, b) is a convolution of the
// small one by a 2x2 kernel of its own (WeightForm::after_upsampling), with windows from row i + a - 1, column j + b - 1.

/// The pixels of an image that are phase (a, b). A view.
at::Tensor positions_of(const at::Tensor& image, std::int64_t a, std::int64_t b);

/// Of images [N, C, H, W] of any strides whose channels lie side by side: target becomes source.
void copy_positions(const at::Tensor& target, const at::Tensor& source);

/// The phases as what one 2x2 convolution with padding 1 gives, y [N, 4 C, H + 1, W + 1]: channels (2 a + b) C + c from
/// row a and column b on, zeros elsewhere. And the adjoint: of such y the image, its other positions left out. Both are
/// differentiable to any order.
at::Tensor split_phases(const at::Tensor& image);
at::Tensor join_phases(const at::Tensor& y);

}  // namespace ganymede
