#pragma once

#include <torch/nn/module.h>

#include "models/layers/packed_weight.h"
#include "models/layers/weight_form.h"

namespace ganymede {

/// How a layer's weight is used.
struct WeightOptions {
  bool bias = true;
  bool spectral_norm = false;
  double eps = 1e-6;  ///< spectral norm's least norm that is divided by
  double gain = 1;    ///< the initial weight is drawn times this
  /// Equalised learning rate (Karras et al., arXiv 1710.10196, section 4.1): the weight begins as N(0, 1) /
  /// rate, whatever the network's initialisation, and is used times rate * gain / sqrt(fan in); the bias is used
  /// times rate. Not together with spectral_norm.
  bool equalised = false;
  double bias_start = 0;
  double rate = 1;  ///< how much slower the layer learns than its network (StyleGAN's mapping: 0.01)
};

/// A layer with a weight [out, ...], perhaps a bias, and perhaps spectral normalisation (Miyato et al., arXiv
/// 1802.05957): the weight is divided by an estimate of its largest singular value,
///
///     v = normalise(W^T u),  u = normalise(W v),  sigma = u^T W v,
///
/// W seen as [out, rest]; u and v are constants to autograd, sigma is not. Parameters "weight", "bias";
/// buffer "u" [out].
///
/// The weight that is computed with (normalised, folded, in bfloat16) is made once a phase, at its first use.
class Weighted : public torch::nn::Module {
 public:
  /// Must be called when a phase begins, and whenever the weight has changed since: one power iteration, and
  /// what was made of the weight before is forgotten. With `update` the buffer u takes the result; without,
  /// no buffer changes.
  virtual void begin_phase(bool update);
  /// Weight tensors' initialisation, and the regularisers, look at the raw weight.
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }
  const WeightOptions& options() const { return options_; }

 protected:
  Weighted(at::IntArrayRef shape, const WeightOptions& options);
  /// A weight whose first axis is not the outputs', of which there are `outputs`: neither spectral norm nor an
  /// equalised learning rate is for it.
  Weighted(at::IntArrayRef shape, std::int64_t outputs, const WeightOptions& options);
  /// The weight to compute with: normalised, in its form, of `type`.
  at::Tensor effective_weight(at::ScalarType type, WeightForm form = WeightForm::plain);
  at::Tensor effective_bias(at::ScalarType type) const;

 private:
  /// What an equalised weight is divided by.
  at::Tensor constant_sigma() const;

  at::Tensor weight_, bias_, u_;
  SpectralFactors spectral_;  // this phase's
  at::Tensor made_;           // the weight of this phase, in the form and type last asked for
  WeightForm made_form_ = WeightForm::plain;
  std::int64_t made_version_ = 0;  // the weight's
  WeightOptions options_;
};

/// begin_phase() of all such layers of a network.
void begin_phase(torch::nn::Module& network, bool update);

/// weight [out, in, k, k], k odd, stride 1, padding k / 2. Computes in x's type.
class Conv2d : public Weighted {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
  /// forward() of maps put together along channels, which they are not.
  at::Tensor forward_apart(const std::vector<at::Tensor>& maps);
  /// forward(x upsampled x2, nearest): folded into the kernel. k = 3.
  at::Tensor forward_upsampled(const at::Tensor& x);
  /// forward(x) averaged over 2x2 positions: folded into the kernel. k = 3; H and W even.
  at::Tensor forward_pooled(const at::Tensor& x);
  /// With another stride, and `padding` zeros on each side.
  at::Tensor forward_strided(const at::Tensor& x, std::int64_t stride, std::int64_t padding);
};

/// weight [out, in]: x [..., in] -> [..., out], in x's type.
class Linear : public Weighted {
 public:
  Linear(std::int64_t in, std::int64_t out, const WeightOptions& options);
  void begin_phase(bool update) override;
  at::Tensor forward(const at::Tensor& x);

 private:
  PackedWeight packed_;
};

/// weight [count, width]: labels [N] -> [N, width], of the weight's type.
class Embedding : public Weighted {
 public:
  Embedding(std::int64_t count, std::int64_t width, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& labels);
};

}  // namespace ganymede
