#pragma once

#include "models/gan/mapped_style_generator.h"
#include "models/gan/networks/progressive.h"

namespace ganymede {

/// StyleGAN (Karras et al., arXiv 1812.04948): a mapping network, a learned constant, noise and AdaIN behind each
/// convolution, smoothed resampling; the discriminator is Progressive GAN's, smoothed too. It grows as that does. Of
/// classes, G has an embedding beside z, and D a logit each.
struct StyleGanOptions {
  ProgressiveOptions growing{.filtered = true};  ///< what both networks share with Progressive GAN's
  std::int64_t style = 512;                      ///< width of w
  std::int64_t mapping_layers = 8;
  double style_average = 0.995;  ///< decay of the mean style
  double style_mixing = 0.9;     ///< probability that an image's later layers follow another style
  std::string noise = "random";

  StyleMappingOptions mapping() const { return {growing.latent, growing.condition(), style, mapping_layers}; }
  void describe(OptionSchema& schema);
};

/// Two layers a resolution, each of which has noise and a style; the first of all is the constant [C, 4, 4]:
///
///     h = AdaIN(leaky_relu(conv(h) + noise scale * noise + bias), w)
///
/// A resolution's first convolution sees the map enlarged, and is smoothed. The image is a 1x1 convolution of the last
/// map; it fades in as Progressive GAN's, and is not squashed.
class StyleGanGenerator final : public MappedStyleGenerator {
 public:
  explicit StyleGanGenerator(const StyleGanOptions& options);
  std::int64_t layers() const override { return 2 * static_cast<std::int64_t>(levels_.size()); }
  at::Tensor synthesise(const at::Tensor& ws, const ForwardContext& context) override;

 private:
  class StyledMap;
  struct Level {
    std::shared_ptr<Conv2d> first, second;  // first is null at 4x4
    std::shared_ptr<StyledMap> first_styled, second_styled;
    std::shared_ptr<Conv2d> to_image;
  };
  std::shared_ptr<StyledMap> add_styled(const std::string& name, std::int64_t resolution);

  StyleGanOptions options_;
  at::Tensor constant_;
  std::vector<Level> levels_;  // 4x4, 8x8, ...
};

std::unique_ptr<GanNetworks> make_stylegan();

}  // namespace ganymede
