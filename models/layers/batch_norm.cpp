#include "models/layers/batch_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

BatchNorm::BatchNorm(std::int64_t channels, const BatchNormOptions& options) : options_(options) {
  running_mean_ = register_buffer("running_mean", at::zeros({channels}));
  running_var_ = register_buffer("running_var", at::ones({channels}));
}

void BatchNorm::remember(const GroupMoments& moments, std::int64_t count, BatchNormMode mode) {
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
  if (context.parts > 1) {
    const std::int64_t count = x.size(0) / context.parts;
    std::vector<at::Tensor> parts;
    for (std::int64_t i = 0; i < context.parts; ++i) {
      const auto rows = [&](const at::Tensor& all) {
        return all.size(0) == 1 ? all : all.narrow(0, i * count, count);
      };
      parts.push_back(normalise(x.narrow(0, i * count, count), rows(gain), rows(bias), context.of_part()));
    }
    return at::cat(parts);
  }
  const Normalisation normalisation{options_.eps, options_.activation};
  if (context.batch_norm == BatchNormMode::running)
    return normalise_with({running_mean_.unsqueeze(0), running_var_.unsqueeze(0)}, x, gain, bias,
                          normalisation);
  const Normalised result =
      normalise_batch(x, gain, bias, normalisation, context.layout, context.communicator);
  remember(result.moments, context.layout.group * (x.numel() / (x.size(0) * x.size(1))), context.batch_norm);
  return result.y;
}

AffineBatchNorm::AffineBatchNorm(std::int64_t channels, const BatchNormOptions& options)
    : BatchNorm(channels, options) {
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
}

at::Tensor AffineBatchNorm::forward(const at::Tensor& x, const ForwardContext& context) {
  return normalise(x, weight_.unsqueeze(0), bias_.unsqueeze(0), context);
}

ClassBatchNorm::ClassBatchNorm(std::int64_t channels, std::int64_t classes, const BatchNormOptions& options)
    : BatchNorm(channels, options) {
  gain_ = register_parameter("gain", at::ones({classes, channels}));
  bias_ = register_parameter("bias", at::zeros({classes, channels}));
}

at::Tensor ClassBatchNorm::forward(const at::Tensor& x, const at::Tensor& labels,
                                   const ForwardContext& context) {
  return normalise(x, at::embedding(gain_, labels), at::embedding(bias_, labels), context);
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
