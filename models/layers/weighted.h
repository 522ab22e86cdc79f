#pragma once

#include <torch/nn/module.h>

namespace ganymede {

/// How a layer's weight is used.
struct WeightOptions {
  bool bias = true;
  bool spectral_norm = false;
  double eps = 1e-6;  ///< the least norm that is divided by
};

/// A layer with a weight [out, ...], perhaps a bias, and perhaps spectral normalisation (Miyato et al., arXiv
/// 1802.05957): the weight is divided by an estimate of its largest singular value,
///
///     v = normalise(W^T u),  u = normalise(W v),  sigma = u^T W v,
///
/// W seen as [out, rest]; u and v are constants to autograd, sigma is not. Parameters "weight", "bias";
/// buffer "u" [out].
class Weighted : public torch::nn::Module {
 public:
  /// One power iteration, once a phase. With `update` the buffer u takes the result; without, no buffer
  /// changes.
  void iterate(bool update);
  /// Weight tensors' initialisation, and the regularisers, look at the raw weight.
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }

 protected:
  Weighted(at::IntArrayRef shape, const WeightOptions& options);
  /// The weight to compute with.
  at::Tensor effective_weight();

 private:
  /// [out, rest], a view in the weight's memory order.
  at::Tensor matrix() const;
  at::Tensor weight_, bias_, u_;
  at::Tensor left_, right_;  // this phase's u and v
  double eps_;
};

/// weight [out, in, k, k], stride 1, padding k / 2.
class Conv2d : public Weighted {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
};

/// weight [out, in]: x [N, in] -> [N, out].
class Linear : public Weighted {
 public:
  Linear(std::int64_t in, std::int64_t out, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
};

/// weight [count, width]: labels [N] -> [N, width].
class Embedding : public Weighted {
 public:
  Embedding(std::int64_t count, std::int64_t width, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& labels);
};

}  // namespace ganymede
