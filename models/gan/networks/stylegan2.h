#pragma once

#include "models/gan/mapped_style_generator.h"
#include "models/layers/filtered_conv.h"
#include "models/layers/modulated.h"

namespace ganymede {

/// StyleGAN2 (Karras et al., arXiv 1912.04958): mapping network, modulated convolutions, noise, a generator whose
/// images of each resolution add up, a residual discriminator; with labels and a plain discriminator as in arXiv
/// 2006.06676, appendix C.
struct StyleGan2Options {
  std::int64_t resolution = 256;  ///< a power of two
  std::int64_t image_channels = 3;
  std::int64_t classes = 1;
  std::string conditioning = "none";
  std::int64_t channel_base = 32768;  ///< maps of R x R have min(channel_base / R, most_channels) channels
  std::int64_t most_channels = 512;
  std::int64_t latent = 512;
  std::int64_t style = 512;  ///< width of w
  std::int64_t mapping_layers = 8;
  double style_average = 0.995;  ///< decay of the mean style
  double style_mixing = 0;       ///< probability that an image's later layers follow another style
  std::string noise = "random";
  std::string discriminator = "residual";
  std::int64_t deviation_group =
      4;               ///< consecutive images that share a standard deviation; 0 = the micro-batch
  double clamp = 256;  ///< maps are held within +-clamp; 0 = they are not

  std::int64_t width(std::int64_t of_resolution) const {
    return std::min(channel_base / of_resolution, most_channels);
  }
  /// Resolutions from 4x4 to the image.
  std::size_t levels() const;
  /// Width of the one-hot label, 0 without.
  std::int64_t condition() const { return conditioning == "projection" ? classes : 0; }
  StyleMappingOptions mapping() const { return {latent, condition(), style, mapping_layers}; }
  void describe(OptionSchema& schema);
};

/// Images are the sum over resolutions of what each adds, enlarged.
class StyleGan2Generator final : public MappedStyleGenerator {
 public:
  explicit StyleGan2Generator(const StyleGan2Options& options);
  /// One a convolution, and one for the last image.
  std::int64_t layers() const override { return 2 * static_cast<std::int64_t>(levels_.size()); }
  at::Tensor synthesise(const at::Tensor& ws, const ForwardContext& context) override;

 private:
  class StyledConv;
  struct Level {
    std::shared_ptr<StyledConv> first, second;  // first is null at 4x4
    std::shared_ptr<ModulatedConv2d> to_image;
  };

  StyleGan2Options options_;
  std::shared_ptr<Weighted> constant_;
  std::vector<Level> levels_;  // 4x4, 8x8, ...
};

/// With labels, the logit is <h, mapped label> / sqrt(style).
class StyleGan2Discriminator final : public Discriminator {
 public:
  explicit StyleGan2Discriminator(const StyleGan2Options& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const override;

 private:
  struct Level {
    std::shared_ptr<Conv2d> first;
    std::shared_ptr<FilteredConv2d> second;
    std::shared_ptr<Conv2d> shortcut;  // null if plain
  };
  StyleGan2Options options_;
  std::shared_ptr<Conv2d> from_image_, conv4_;
  std::vector<Level> levels_;  // from the image down to 8x8
  std::shared_ptr<Linear> dense_, linear_;
  std::shared_ptr<StyleMapping> mapping_;  // null without labels
};

std::unique_ptr<GanNetworks> make_stylegan2();

}  // namespace ganymede
