#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a Sampler is beside that, where its model gives images a likelihood.
class Likelihood {
 public:
  virtual ~Likelihood() = default;
  /// Whether this one does; then bits_per_dimension() is there.
  virtual bool has_likelihood() const = 0;
  /// An upper bound of -log2 p(image | label) a dimension, [N] float64 on the host, of images [N, C, H, W] that are
  /// bytes in [-1, 1], with labels [N]. What is drawn for image i depends on (seed, first + i) alone.
  virtual at::Tensor bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                        const at::Tensor& labels) = 0;
};

}  // namespace ganymede
