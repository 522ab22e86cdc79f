#pragma once

#include <torch/nn/module.h>

#include "core/philox.h"

namespace ganymede {

/// Where a network's own randomness comes from: `key`, its layer yet to be filled in, and the position within
/// the global batch of the image in row 0; the other rows follow.
struct LayerDraws {
  RandomKey key;
  std::int64_t first = 0;
};

/// Zeroes each element with probability p and divides the others by 1 - p (Srivastava et al., 2014). p is
/// rounded to a multiple of 2^-16. What is zeroed depends on the key, the layer's name, the image and the
/// element's place in row-major order alone.
class Dropout : public torch::nn::Module {
 public:
  /// `layer` must differ from every other of the network.
  Dropout(double p, std::string layer);
  /// x [N, ...]. Without draws (sampling), x itself.
  at::Tensor forward(const at::Tensor& x, const LayerDraws* draws) const;

 private:
  std::uint32_t threshold_;  ///< of 2^16
  std::string layer_;
};

}  // namespace ganymede
