#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What adaLN-Zero (Peebles and Xie, arXiv 2212.09748, section 3.2) makes of tokens x [N, L, C] of any floating type by
/// figures [N, C] of an image. On CPUs each is one pass over memory there and one back, which keeps what it was given
/// and nothing more; figures and sums are float32 or better whatever x's type. Differentiable to any order, from the
/// second on in plain operations.

/// norm(x) (1 + scale) + shift, the norm over each token's C without gain.
at::Tensor adaptive_layer_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                               double eps);

/// x + gate branch, branch [N, L, C] of x's type.
at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch);

}  // namespace ganymede
