#pragma once

#include <torch/nn/module.h>

namespace ganymede {

/// Layer normalisation (Ba et al., arXiv 1607.06450) of tokens: each normalised over its numbers, then gain "weight"
/// and "bias" [C]. x [..., C], in the weights' type whatever x's, which the result has.
class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(std::int64_t width, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  double eps_;
  at::Tensor weight_, bias_;
};

}  // namespace ganymede
