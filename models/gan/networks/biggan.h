#pragma once

#include "models/gan/network.h"
#include "models/layers/attention.h"
#include "models/layers/batch_norm.h"
#include "models/layers/discriminator_block.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// BigGAN (Brock et al., arXiv 1809.11096, appendix B, figure 15) at 32 to 512 pixels.
struct BigGanOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t classes = 10;
  std::int64_t generator_channels = 64;      ///< ch, the unit of G's widths
  std::int64_t discriminator_channels = 64;  ///< ch, the unit of D's widths
  std::int64_t chunk = 20;                   ///< z has one chunk for the first layer and one for each block
  std::int64_t shared = 128;                 ///< width of the class embedding that all blocks share
  std::vector<std::int64_t> attention = {};  ///< resolutions with self-attention, in both networks
  std::string init = "orthogonal";
  bool generator_spectral_norm = true;
  bool discriminator_spectral_norm = true;
  double batch_norm_eps = 1e-5;
  double spectral_norm_eps = 1e-6;

  void describe(OptionSchema& schema);
};

/// z [N, chunk (blocks + 1)]: the first chunk makes the 4x4 map, each block is conditioned on one of the
/// others joined with the class embedding.
class BigGanGenerator final : public Generator {
 public:
  explicit BigGanGenerator(const BigGanOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override;

 private:
  class Block;
  BigGanOptions options_;
  std::int64_t first_channels_ = 0;
  std::shared_ptr<Embedding> shared_;
  std::shared_ptr<Linear> linear_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;  // after the block, or null
  std::shared_ptr<AffineBatchNorm> norm_;
  std::shared_ptr<Conv2d> to_image_;
};

/// Residual blocks, sum over positions, and the projection of the label (Miyato and Koyama, arXiv
/// 1802.05637): D(x, y) = linear(h) + <embed(y), h>.
class BigGanDiscriminator final : public Discriminator {
 public:
  explicit BigGanDiscriminator(const BigGanOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;

 private:
  std::vector<std::shared_ptr<DiscriminatorBlock>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;
  std::shared_ptr<Linear> linear_;
  std::shared_ptr<Embedding> embed_;
};

std::unique_ptr<GanNetworks> make_biggan();

}  // namespace ganymede
