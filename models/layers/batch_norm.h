#pragma once

#include "models/layers/forward_context.h"
#include "models/layers/normalise.h"
#include "models/layers/weighted.h"

namespace ganymede {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of the newest batch in the running averages
  Activation activation = Activation::none;
};

/// Batch normalisation over the groups of the context, wherever their images lie:
///
///     y = activation((x - mean) / sqrt(variance + eps) * gain + bias)
///
/// The running averages take the mean over groups of the mean and of the unbiased variance. Buffers
/// "running_mean" and "running_var" [C].
class BatchNorm : public torch::nn::Module {
 public:
  BatchNorm(std::int64_t channels, const BatchNormOptions& options);

  /// gain, bias: [1, C] or, one row an image, [N, C]. The parts of x are normalised one after another.
  at::Tensor normalise(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                       const ForwardContext& context);

  std::int64_t channels() const { return running_mean_.size(0); }

  /// Standing statistics: the mean over the passes made in that mode. sums() is [2, C] and adds up over
  /// ranks.
  at::Tensor standing_sums() const;
  void adopt_standing(const at::Tensor& sums, double passes);

 private:
  void remember(const GroupMoments& moments, std::int64_t count, BatchNormMode mode);

  BatchNormOptions options_;
  at::Tensor running_mean_, running_var_, standing_sums_;
};

/// With a learned gain and bias [C].
class AffineBatchNorm : public BatchNorm {
 public:
  AffineBatchNorm(std::int64_t channels, const BatchNormOptions& options);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context);

 private:
  at::Tensor weight_, bias_;
};

/// With a gain and a bias for each class (Dumoulin et al., arXiv 1610.07629): "gain" and "bias" [classes, C].
class ClassBatchNorm : public BatchNorm {
 public:
  ClassBatchNorm(std::int64_t channels, std::int64_t classes, const BatchNormOptions& options);
  /// labels int64 [N].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context);

 private:
  at::Tensor gain_, bias_;
};

/// With gain 1 + A y and bias B y from a condition y [N, D] (de Vries et al., arXiv 1707.00683; BigGAN's
/// shared embedding): "gain.weight" and "bias.weight" [C, D].
class ConditionalBatchNorm : public BatchNorm {
 public:
  ConditionalBatchNorm(std::int64_t channels, std::int64_t condition, const BatchNormOptions& options,
                       WeightOptions weights);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& y, const ForwardContext& context);

 private:
  std::shared_ptr<Linear> gain_, bias_;
};

}  // namespace ganymede
