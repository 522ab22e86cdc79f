#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// Self-attention over positions (SAGAN, arXiv 1805.08318, as BigGAN uses it): with 1x1 convolutions theta
/// and phi to C/8 and g to C/2 channels, phi and g max-pooled 2x2,
///
///     y = x + gamma * o(g softmax(theta^T phi)^T)
///
/// x [N, C, H, W], C a multiple of 8, H and W even. gamma is one number, 0 at the start.
class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(std::int64_t channels, WeightOptions weights);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::shared_ptr<Conv2d> theta_, phi_, g_, o_;
  at::Tensor gamma_;
};

}  // namespace ganymede
