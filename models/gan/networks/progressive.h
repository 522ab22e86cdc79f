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
      4;  ///< consecutive images that share a standard deviation; 0 = the micro-batch

  std::int64_t present() const { return stage > 0 ? stage : resolution; }
  std::int64_t width(std::int64_t of_resolution) const {
    return std::min(channel_base / (of_resolution / 2), most_channels);
  }
  /// Width of the one-hot label beside z, 0 without.
  std::int64_t condition() const { return conditioning == "none" ? 0 : classes; }
  /// D's outputs: one for each class where it is told which.
  std::int64_t outputs() const { return conditioning == "concatenation" ? classes : 1; }
  void describe(OptionSchema& schema);
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
/// 1 - alpha of the pooled image's. With classes, the logit is that of the image's class (one output for each).
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
