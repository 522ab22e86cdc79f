#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include "core/options.h"

namespace ganymede {

struct LeCamOptions {
  double weight = 0;
  double decay = 0.99;
  std::int64_t start = 1000;

  /// Adds "gan.lecam" and "gan.lecam_...".
  void describe(OptionSchema& schema);
};

/// The LeCam regulariser of D (Tseng et al., arXiv 2104.03310), an image:
///
///     weight ((D(x) - alpha_F)^2 + (D(G(z)) - alpha_R)^2)
///
/// with alpha_R, alpha_F moving averages of D's logits on real and generated images, those of the updates
/// before. During the first `start` updates of D the averages are copies and the penalty is none.
class LeCam {
 public:
  LeCam(const LeCamOptions& options, at::Device device)
      : options_(options), anchors_(at::zeros({2}, at::TensorOptions(at::kDouble).device(device))) {}

  bool wanted() const { return options_.weight > 0; }
  bool due(std::int64_t update) const { return wanted() && update >= options_.start; }
  at::Tensor penalty(const at::Tensor& real_logits, const at::Tensor& fake_logits) const;
  /// After D's update number `update` (from 0): the means [2] of its real and fake logits over the global
  /// batch.
  void advance(std::int64_t update, const at::Tensor& means);
  /// [alpha_R, alpha_F], float64: part of checkpoints.
  const at::Tensor& anchors() const { return anchors_; }

 private:
  LeCamOptions options_;
  at::Tensor anchors_;
};

}  // namespace ganymede
