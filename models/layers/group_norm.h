#pragma once

#include <torch/nn/module.h>

namespace ganymede {

/// Group normalisation (Wu and He, arXiv 1803.08494): each image's channels in `groups` runs, each run
/// normalised over its channels and positions, then gain "weight" and "bias" [C]. x [N, C, ...], C a multiple
/// of `groups`; sums are float32 or better whatever x's type.
class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps);
  at::Tensor forward(const at::Tensor& x) const;
  /// silu(forward(x + offset)), images [N, C, H, W] and offset [N, C] or undefined: in one pass on the CPU.
  at::Tensor forward_silu(const at::Tensor& x, const at::Tensor& offset = {}) const;
  /// forward_silu() of maps put together along channels, which they are not. On the CPU, and no autograd operation.
  std::vector<at::Tensor> forward_silu_apart(const std::vector<at::Tensor>& maps) const;
  /// silu(forward(x) (1 + scale) + shift), figures [N, C]: likewise.
  at::Tensor forward_modulated_silu(const at::Tensor& x, const at::Tensor& scale,
                                    const at::Tensor& shift) const;

 private:
  std::int64_t groups_;
  double eps_;
  at::Tensor weight_, bias_;
};

}  // namespace ganymede
