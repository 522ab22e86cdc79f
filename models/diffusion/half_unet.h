#pragma once

#include "core/options.h"
#include "models/diffusion/noisy_classifier.h"
#include "models/diffusion/residual_block.h"
#include "models/layers/time_embedding.h"

namespace ganymede {

/// The way down of ADM's UNet, with a head that tells classes (Dhariwal and Nichol, arXiv 2105.05233, section 4 and
/// table 15).
struct HalfUnetOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t classes = 10;
  std::vector<std::int64_t> channels = {64, 128, 128};  ///< of each level; each halves the size
  std::int64_t time_channels = 0;                       ///< the time's sinusoids; 0 = channels[0]
  std::int64_t blocks = 2;                              ///< residual blocks a level
  std::vector<std::int64_t> attention = {16, 8};        ///< sizes of maps with self-attention
  std::int64_t head_channels = 64;
  std::int64_t groups = 32;
  double eps = 1e-5;
  double dropout = 0;

  void describe(OptionSchema& schema);
  /// Throws Error(options) where single options are in range but do not fit together.
  void check() const;
  std::int64_t sinusoid_width() const { return time_channels > 0 ? time_channels : channels.front(); }
};

/// Residual blocks that the time scales and shifts, in which sizes change too; in the middle one with attention and
/// one without. The head attends from the mean of the last map's places over them all, with a learned position each
/// (Radford et al., arXiv 2103.00020, section 2.4).
class HalfUnet final : public ClassifierNetwork {
 public:
  explicit HalfUnet(const HalfUnetOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition,
                     const DenoiserContext& context) override;
  /// Uniform by fans (Glorot), zero in each block's last convolution and attention's output; positions N(0, 1 / C).
  void initialise(std::uint64_t seed) override;

 private:
  class AttentionPool;
  HalfUnetOptions options_;
  std::shared_ptr<Conv2d> conv_in_;
  std::shared_ptr<TimeEmbedding> time_embedding_;
  std::shared_ptr<ModuleList<ResidualStage>> stages_;
  std::shared_ptr<GroupNorm> norm_out_;
  std::shared_ptr<AttentionPool> pool_;
};

}  // namespace ganymede
