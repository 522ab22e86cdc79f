#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a Sampler is beside that, where parts of its latents have a meaning of their own (InfoGAN's codes).
class CodeTraversal {
 public:
  virtual ~CodeTraversal() = default;
  /// Of each code how many categories it has, 0 for a number in [-1, 1); empty where latents have no codes.
  virtual std::vector<std::int64_t> codes() const = 0;
  /// As Sampler::images() with one code of each image chosen: values [N] are its categories, or numbers, in or a
  /// little beyond [-1, 1). All else of image i stays as it is there, the other codes too.
  virtual at::Tensor images_with_code(std::int64_t first, const at::Tensor& labels, std::int64_t code,
                                      const at::Tensor& values) = 0;
};

}  // namespace ganymede
