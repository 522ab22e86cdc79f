#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

struct SinusoidOptions {
  std::int64_t width = 128;    ///< even
  bool cosine_first = false;   ///< cosines in the first half, else sines
  double frequency_shift = 1;  ///< see below: 1 in DDPM, 0 in the original DiT
};

/// A number t as sines and cosines of t f_k, f_k = 10000^(-k / (width / 2 - shift)), k = 0 .. width / 2 - 1
/// (Vaswani et al., arXiv 1706.03762, section 3.5). times [N] -> [N, width] float32: computed in it whatever
/// the times' type, since networks were trained with its rounding.
at::Tensor sinusoids(const at::Tensor& times, const SinusoidOptions& options);

/// Places of a grid of side x side as [side^2, width] float64, row by row: sines, then cosines of the column,
/// then the same of the row, with frequencies 10000^(-k / (width / 4)). width is a multiple of 4.
at::Tensor grid_sinusoids(std::int64_t side, std::int64_t width);

}  // namespace ganymede
