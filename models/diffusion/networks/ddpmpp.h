#pragma once

#include "models/diffusion/denoiser.h"
#include "models/diffusion/residual_block.h"
#include "models/layers/time_embedding.h"

namespace ganymede {

struct DdpmppOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t classes = 1;
  std::int64_t base = 128;                               ///< channels of the first map and of the time's sinusoids
  std::vector<std::int64_t> channels = {256, 256, 256};  ///< of each level; each halves the size
  std::int64_t blocks = 4;                               ///< residual blocks a level on the way down
  std::vector<std::int64_t> attention = {16};            ///< sizes of maps with self-attention, of one head
  std::int64_t groups = 32;
  double eps = 1e-6;
  double dropout = 0.1;

  void describe(OptionSchema& schema);
  /// Throws Error(options) where single options are in range but do not fit together.
  void check() const;
};

/// DDPM++ (Song et al., arXiv 2011.13456, appendix H), conditional as Karras et al. (arXiv 2206.00364, appendix F) have
/// it: a UNet whose sizes change in residual blocks with a 1x1 convolution beside them, whose sums are divided by
/// sqrt(2), and which has attention behind each block of its sizes on the way down, but the last block alone on the way
/// up. Label and augmentation are told before the maps that embed the time:
///
///     emb = embedding(sinusoids(t) + L sqrt(classes) onehot(label) + b + A augmentation)
///
/// No label is a row of zeros in the place of onehot(label); A has a column for each figure of the augmentation.
class Ddpmpp final : public Denoiser {
 public:
  Ddpmpp(const DdpmppOptions& options, const DenoiserShape& shape);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                     const DenoiserContext& context) override;
  /// Uniform by fans (Glorot), in attention's q, k and v a tenth of its variance; zero in each block's last convolution,
  /// attention's output and the network's.
  void initialise(std::uint64_t seed) override;

 private:
  using Stages = std::shared_ptr<ModuleList<ResidualStage>>;
  /// [N, base] in the type of the weights: what is known of the images beside themselves.
  at::Tensor known(const at::Tensor& condition, const at::Tensor& labels, const DenoiserContext& context) const;
  /// Whether it is the way up's block i that changes the size, and sees no map of the way down.
  bool resamples(std::size_t i) const;

  DdpmppOptions options_;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<TimeEmbedding> time_embedding_;
  std::shared_ptr<Linear> class_embedding_, augmentation_;  // null where there is nothing to tell
  Stages down_, mid_, up_;
  std::shared_ptr<GroupNorm> norm_out_;
};

std::unique_ptr<DenoiserNetwork> make_ddpmpp();

}  // namespace ganymede
