#pragma once

#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>

#include "models/layers/batch_norm.h"

namespace ganymede {

/// The reference batch of virtual batch norm: latents z, buffer "z" [R, latent], drawn by initialise() from the run's
/// seed and never changed.
class ReferenceBatch final : public torch::nn::Module {
 public:
  ReferenceBatch(std::int64_t count, std::int64_t latent) {
    z_ = register_buffer("z", at::zeros({count, latent}));
  }
  const at::Tensor& z() const { return z_; }

 private:
  at::Tensor z_;
};

/// Virtual batch normalisation (Salimans et al., arXiv 1606.03498, section 3.5): an image is normalised by statistics
/// of the reference batch and of itself, so that it does not depend on the other images of its batch:
///
///     y = activation((x - mean) / sqrt(variance + eps) * weight + bias)
///
/// with mean and variance over the R reference images and all positions, or for any other image over those and itself,
/// each image with weight 1 / (R + 1). The reference batch is made anew in every pass, with the weights as they are,
/// and gradients flow through it; every rank makes all of it, so that nothing is sent. Parameters "weight", "bias" [C].
class VirtualBatchNorm final : public torch::nn::Module {
 public:
  VirtualBatchNorm(std::int64_t channels, const BatchNormOptions& options);
  /// x [R + N, C, H, W], the reference images first. Differentiable to any order; statistics in float32 or better.
  at::Tensor forward(const at::Tensor& x, std::int64_t reference);

 private:
  BatchNormOptions options_;
  at::Tensor weight_, bias_;
};

}  // namespace ganymede
