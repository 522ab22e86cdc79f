#pragma once

#include "models/gan/network.h"
#include "models/layers/attention.h"
#include "models/layers/batch_norm.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// BigGAN-deep (Brock et al., arXiv 1809.11096, appendix B, figure 16) at 32 to 512 pixels.
struct BigGanDeepOptions {
  std::int64_t resolution = 128;
  std::int64_t image_channels = 3;
  std::int64_t classes = 1000;
  std::int64_t generator_channels = 128;      ///< ch, the unit of G's widths; a multiple of 4
  std::int64_t discriminator_channels = 128;  ///< ch, the unit of D's widths; a multiple of 4
  std::int64_t latent = 128;
  std::int64_t shared = 128;                 ///< width of the class embedding that all blocks share
  std::vector<std::int64_t> attention = {};  ///< resolutions with self-attention, in both networks
  std::string init = "orthogonal";
  bool generator_spectral_norm = true;
  bool discriminator_spectral_norm = true;
  double batch_norm_eps = 1e-5;
  double spectral_norm_eps = 1e-6;

  void describe(OptionSchema& schema);
};

/// z [N, latent], joined with the class embedding, makes the 4x4 map and conditions every block. Each resolution
/// has two bottleneck blocks; the second doubles it and drops the channels that its shortcut has too many of.
class BigGanDeepGenerator final : public Generator {
 public:
  explicit BigGanDeepGenerator(const BigGanDeepOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override { return latent_; }

 private:
  class Block;
  std::int64_t latent_, first_channels_;
  std::shared_ptr<Embedding> shared_;
  std::shared_ptr<Linear> linear_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;  // after the block, or null
  std::shared_ptr<AffineBatchNorm> norm_;
  std::shared_ptr<Conv2d> to_image_;
};

/// Two bottleneck blocks a resolution, the first of which halves it and adds to its shortcut, by a 1x1
/// convolution, the channels that this lacks. Then D(x, y) = linear(h) + <embed(y), h>, h summed over positions.
class BigGanDeepDiscriminator final : public Discriminator {
 public:
  explicit BigGanDeepDiscriminator(const BigGanDeepOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;

 private:
  class Block;
  std::shared_ptr<Conv2d> from_image_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;
  std::shared_ptr<Linear> linear_;
  std::shared_ptr<Embedding> embed_;
};

std::unique_ptr<GanNetworks> make_biggan_deep();

}  // namespace ganymede
