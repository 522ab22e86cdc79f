#pragma once

#include "models/layers/normalise.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// AdaIN (Huang and Belongie, arXiv 1703.06868; Karras et al., arXiv 1812.04948, equation 1): each channel of each
/// image normalised over its positions, then scaled and moved as the style w says,
///
///     y = (1 + y_s) (x - mean(x)) / sqrt(variance(x) + 1e-8) + y_b,   (y_s, y_b) = affine(w)
///
/// Submodule "affine", equalised, to [2 C] numbers, y_s first: with w = 0 and its bias 0 this is instance norm.
class AdaptiveInstanceNorm final : public torch::nn::Module {
 public:
  AdaptiveInstanceNorm(std::int64_t channels, std::int64_t style);
  /// x [N, C, H, W], w [N, style] -> like x. Figures are float32 or better. Differentiable to any order.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& w);

 private:
  std::shared_ptr<Linear> affine_;
  std::unique_ptr<Communicator> alone_;  // an image's figures are its own
};

}  // namespace ganymede
