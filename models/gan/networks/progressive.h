#pragma once

#include "models/gan/network.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// Progressive GAN's networks (Karras et al., arXiv 1710.10196, sections 2 to 4, table 2): equalised learning rate,
/// pixel norm, minibatch standard deviation. They hold the layers of all resolutions from 4x4 to `stage`, and make
/// and judge images of that size.
struct ProgressiveOptions {
  std::int64_t resolution = 1024;  ///< when fully grown: a power of two
  std::int64_t stage = 0;          ///< the resolution grown to; 0 = fully grown
  double alpha = 1;                ///< how far the last resolution is faded in, unless the context says it
  std::int64_t image_channels = 3;
  std::int64_t classes = 1;
  std::string conditioning = "none";
  std::int64_t channel_base =
      8192;  ///< maps of R x R have min(channel_base / (R / 2), most_channels) channels
  std::int64_t most_channels = 512;
  std::int64_t latent = 512;
  std::int64_t deviation_group =
      4;                  ///< consecutive images that share a standard deviation; 0 = the micro-batch
  bool filtered = false;  ///< D's maps are smoothed (binomial_filtered) before they are halved

  std::int64_t present() const { return stage > 0 ? stage : resolution; }
  std::int64_t width(std::int64_t of_resolution) const {
    return std::min(channel_base / (of_resolution / 2), most_channels);
  }
  /// Width of the one-hot label beside z, 0 without.
  std::int64_t condition() const { return conditioning == "none" ? 0 : classes; }
  /// Whether D is told the class, for each of which it then has an output.
  bool judges_class() const { return condition() > 0 && conditioning != "generator"; }
  std::int64_t outputs() const { return judges_class() ? classes : 1; }
  /// Resolutions from 4x4 to the present one.
  std::size_t levels() const;
  /// How far the last of several levels is faded in, a scalar like `like`; undefined where it is all there.
  at::Tensor fade(const ForwardContext& context, const at::Tensor& like) const;
  /// Adds "<section>.resolution" and so on.
  void describe(OptionSchema& schema, const std::string& section,
                const std::vector<std::string>& conditionings, const std::string& conditioning_help);
  /// Throws Error(options) where they do not fit together, or not with a micro-batch.
  void check(const std::string& section) const;
  void check_batch(const std::string& section, std::int64_t micro_batch) const;
  /// The same at a resolution. Throws Error(options) where they fix a stage.
  ProgressiveOptions grown_to(const std::string& section, std::int64_t resolution) const;
};

/// z [N, latent], at unit mean square with the one-hot label beside it. While the last resolution fades in,
///
///     image = alpha to_image_R(h_R) + (1 - alpha) upsampled(to_image_{R/2}(h_{R/2}))
///
/// Images are not squashed: they leave [-1, 1] a little.
class ProgressiveGenerator final : public Generator {
 public:
  explicit ProgressiveGenerator(const ProgressiveOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override { return options_.latent; }

 private:
  class FirstMap;
  struct Level {
    std::shared_ptr<Conv2d> first, second;  // null at 4x4
    std::shared_ptr<Conv2d> to_image;
  };
  ProgressiveOptions options_;
  std::shared_ptr<FirstMap> dense_;
  std::shared_ptr<Conv2d> conv4_;
  std::vector<Level> levels_;  // 4x4, 8x8, ...
};

/// While the last resolution fades in, its maps at half the size are alpha of what the block makes of them and
/// 1 - alpha of the pooled image's. With classes, the logit is that of the image's class (one output for each). StyleGAN's
/// (arXiv 1812.04948, appendix C) is `filtered`, and halves before it activates.
class ProgressiveDiscriminator final : public Discriminator {
 public:
  explicit ProgressiveDiscriminator(const ProgressiveOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const override;

 private:
  struct Level {
    std::shared_ptr<Conv2d> first, second;  // null at 4x4
    std::shared_ptr<Conv2d> from_image;
  };
  ProgressiveOptions options_;
  std::vector<Level> levels_;  // 4x4, 8x8, ...
  std::shared_ptr<Conv2d> conv4_;
  std::shared_ptr<Linear> dense_, linear_;
};

std::unique_ptr<GanNetworks> make_progressive();

}  // namespace ganymede
