#include "models/layers/virtual_batch_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

VirtualBatchNorm::VirtualBatchNorm(std::int64_t channels, const BatchNormOptions& options)
    : options_(options) {
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
}

at::Tensor VirtualBatchNorm::forward(const at::Tensor& x, std::int64_t reference) {
  constexpr at::IntArrayRef::value_type positions[] = {2, 3}, batch[] = {0, 2, 3};
  const at::Tensor wide = x.to(weight_.scalar_type());
  const at::Tensor virtual_batch = wide.narrow(0, 0, reference), rest = wide.slice(0, reference);
  const auto variance_about = [](const at::Tensor& of, const at::Tensor& mean, at::IntArrayRef dims) {
    return (of - mean).square().mean(dims, /*keepdim=*/true);
  };
  const at::Tensor mean = virtual_batch.mean(batch, /*keepdim=*/true);
  const at::Tensor variance = variance_about(virtual_batch, mean, batch);
  const at::Tensor own_mean = rest.mean(positions, /*keepdim=*/true);
  const double own = 1 / static_cast<double>(reference + 1);
  const at::Tensor joint_mean = mean + own * (own_mean - mean);
  const at::Tensor joint_variance = (1 - own) * (variance + (mean - joint_mean).square()) +
                                    own * variance_about(rest, joint_mean, positions);
  const auto shaped = [](const at::Tensor& of_channels) { return of_channels.view({1, -1, 1, 1}); };
  const auto normalised = [&](const at::Tensor& of, const at::Tensor& about, const at::Tensor& spread) {
    return (of - about) * ((spread + options_.eps).rsqrt() * shaped(weight_)) + shaped(bias_);
  };
  const at::Tensor y =
      at::cat({normalised(virtual_batch, mean, variance), normalised(rest, joint_mean, joint_variance)});
  return (options_.activation == Activation::relu ? at::relu(y) : y).to(x.scalar_type());
}

}  // namespace ganymede
