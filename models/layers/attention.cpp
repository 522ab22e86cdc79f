#include "models/layers/attention.h"

#include <ATen/ATen.h>

namespace ganymede {

SelfAttention::SelfAttention(std::int64_t channels, WeightOptions weights) {
  weights.bias = false;
  theta_ = register_module("theta", std::make_shared<Conv2d>(channels, channels / 8, 1, weights));
  phi_ = register_module("phi", std::make_shared<Conv2d>(channels, channels / 8, 1, weights));
  g_ = register_module("g", std::make_shared<Conv2d>(channels, channels / 2, 1, weights));
  o_ = register_module("o", std::make_shared<Conv2d>(channels / 2, channels, 1, weights));
  gamma_ = register_parameter("gamma", at::zeros({}));
}

at::Tensor SelfAttention::forward(const at::Tensor& x) {
  const std::int64_t height = x.size(2), width = x.size(3);
  const at::Tensor theta = theta_->forward(x).flatten(2);                        // [N, C/8, HW]
  const at::Tensor phi = at::max_pool2d(phi_->forward(x), 2).flatten(2);         // [N, C/8, HW/4]
  const at::Tensor g = at::max_pool2d(g_->forward(x), 2).flatten(2);             // [N, C/2, HW/4]
  const at::Tensor beta = at::softmax(at::bmm(theta.transpose(1, 2), phi), -1);  // [N, HW, HW/4]
  const at::Tensor mixed = at::bmm(g, beta.transpose(1, 2)).unflatten(2, {height, width});
  return x + gamma_ * o_->forward(mixed.contiguous(x.suggest_memory_format()));
}

}  // namespace ganymede
