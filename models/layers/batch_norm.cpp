#include "models/layers/batch_norm.h"

namespace ganymede {

BatchNorm::BatchNorm(std::int64_t channels, const BatchNormOptions& options) : options_(options) {
  running_mean_ = register_buffer("running_mean", at::zeros({channels}));
  running_var_ = register_buffer("running_var", at::ones({channels}));
}

Moments BatchNorm::moments(const at::Tensor& x, const ForwardContext& context) {
  if (context.batch_norm == BatchNormMode::running)
    return {running_mean_.unsqueeze(0), running_var_.unsqueeze(0)};
  const Moments result = synchronised_moments(x, context.layout, context.communicator);
  remember(result, context.layout.group * (x.numel() / (x.size(0) * x.size(1))), context.batch_norm);
  return result;
}

void BatchNorm::remember(const Moments& moments, std::int64_t count, BatchNormMode mode) {
  if (mode == BatchNormMode::batch) return;
  const at::NoGradGuard no_grad;
  const double unbiased =
      static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(count - 1, 1));
  const at::Tensor mean = moments.mean.mean(0), variance = moments.variance.mean(0) * unbiased;
  if (mode == BatchNormMode::train) {
    running_mean_.lerp_(mean, options_.momentum);
    running_var_.lerp_(variance, options_.momentum);
  } else {
    const at::Tensor sums = at::stack({mean, variance});
    standing_sums_ = standing_sums_.defined() ? standing_sums_ + sums : sums;
  }
}

at::Tensor BatchNorm::standing_sums() const {
  return standing_sums_.defined() ? standing_sums_
                                  : at::zeros({2, running_mean_.size(0)}, running_mean_.options());
}

void BatchNorm::adopt_standing(const at::Tensor& sums, double passes) {
  running_mean_.copy_(sums.select(0, 0) / passes);
  running_var_.copy_(sums.select(0, 1) / passes);
  standing_sums_.reset();
}

at::Tensor BatchNorm::normalise(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                                const ForwardContext& context) {
  Moments m = moments(x, context);
  if (m.mean.size(0) > 1) {
    const at::Tensor groups = group_indices(x.size(0), context.layout, x.device());
    m = {m.mean.index_select(0, groups), m.variance.index_select(0, groups)};
  }
  // One multiplication and one addition an element: the rest is [N, C] work.
  const at::Tensor scale = gain * at::rsqrt(m.variance + options_.eps);
  const at::Tensor shift = bias - m.mean * scale;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = scale.size(0);
  shape[1] = scale.size(1);
  return at::addcmul(shift.view(shape), x, scale.view(shape));
}

AffineBatchNorm::AffineBatchNorm(std::int64_t channels, const BatchNormOptions& options)
    : BatchNorm(channels, options) {
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
}

at::Tensor AffineBatchNorm::forward(const at::Tensor& x, const ForwardContext& context) {
  return normalise(x, weight_.unsqueeze(0), bias_.unsqueeze(0), context);
}

ConditionalBatchNorm::ConditionalBatchNorm(std::int64_t channels, std::int64_t condition,
                                           const BatchNormOptions& options, WeightOptions weights)
    : BatchNorm(channels, options) {
  weights.bias = false;
  gain_ = register_module("gain", std::make_shared<Linear>(condition, channels, weights));
  bias_ = register_module("bias", std::make_shared<Linear>(condition, channels, weights));
}

at::Tensor ConditionalBatchNorm::forward(const at::Tensor& x, const at::Tensor& y,
                                         const ForwardContext& context) {
  return normalise(x, 1 + gain_->forward(y), bias_->forward(y), context);
}

}  // namespace ganymede
