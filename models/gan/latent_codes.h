#pragma once

#include "models/gan/image_draws.h"

namespace ganymede {

/// The part of z that has a meaning (Chen et al., arXiv 1606.03657, section 3): its last numbers. For each categorical
/// code a one-hot vector, uniformly drawn, then for each continuous one a number uniform in [-1, 1).
struct LatentCodes {
  std::vector<std::int64_t> categories = {};  ///< of each categorical code
  std::int64_t continuous = 0;

  /// Numbers of z.
  std::int64_t width() const;
  /// z [N, L] with its codes drawn: streams "code 0", "code 1", ... and "codes".
  at::Tensor drawn(const at::Tensor& z, const ImageDraws& draws) const;
  /// z with code number `code`, categorical ones first, set to values [N]: categories, or numbers.
  at::Tensor chosen(const at::Tensor& z, std::int64_t code, const at::Tensor& values) const;
};

}  // namespace ganymede
