#pragma once

#include "models/gan/network.h"
#include "models/layers/attention.h"
#include "models/layers/batch_norm.h"
#include "models/layers/discriminator_block.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// The residual networks of SNGAN (Miyato et al., arXiv 1802.05957, appendix B.4) at 32, 64 and 128 pixels, of
/// cGANs with projection (Miyato and Koyama, arXiv 1802.05637), and with attention and spectral norm in both of
/// SAGAN (Zhang et al., arXiv 1805.08318).
struct SnganOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t classes = 10;
  std::string conditioning = "none";
  std::int64_t generator_channels = 256;      ///< ch, the unit of G's widths
  std::int64_t discriminator_channels = 128;  ///< ch, the unit of D's widths
  std::int64_t latent = 128;
  std::string upsampling = "bilinear";
  std::vector<std::int64_t> attention = {};  ///< resolutions with self-attention, in both networks
  std::string init = "xavier";
  bool generator_spectral_norm = false;
  bool discriminator_spectral_norm = true;
  std::string discriminator_norm = "none";
  std::int64_t norm_groups = 32;  ///< of D's group norm
  double batch_norm_eps = 1e-5;
  double spectral_norm_eps = 1e-6;

  ImageNormOptions image_norm() const { return {discriminator_norm, norm_groups}; }
  bool generator_conditional() const { return conditioning != "none"; }
  bool discriminator_conditional() const { return conditioning == "projection"; }
  void describe(OptionSchema& schema);
};

/// z [N, latent]. With classes, each has its own gains and biases in the blocks' batch norms.
class SnganGenerator final : public Generator {
 public:
  explicit SnganGenerator(const SnganOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override { return latent_; }

 private:
  class Block;
  std::int64_t latent_, first_channels_;
  std::shared_ptr<Linear> linear_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;  // after the block, or null
  std::shared_ptr<AffineBatchNorm> norm_;
  std::shared_ptr<Conv2d> to_image_;
};

/// Residual blocks, sum over positions, and with classes the projection: D(x, y) = linear(h) + <embed(y), h>.
class SnganDiscriminator final : public Discriminator {
 public:
  explicit SnganDiscriminator(const SnganOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;

 private:
  std::vector<std::shared_ptr<DiscriminatorBlock>> blocks_;
  std::vector<std::shared_ptr<SelfAttention>> attention_;
  std::shared_ptr<Linear> linear_;
  std::shared_ptr<Embedding> embed_;  // null without classes
};

std::unique_ptr<GanNetworks> make_sngan();

}  // namespace ganymede
