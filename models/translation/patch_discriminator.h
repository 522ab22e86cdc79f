#pragma once

#include "models/gan/network.h"
#include "models/translation/map_norm.h"

namespace ganymede {

/// What a discriminator of patches looks like.
struct PatchDiscriminatorOptions {
  std::int64_t channels = 3;  ///< of what it sees
  std::int64_t width =
      64;  ///< channels of its first map; twice as many of each further one, up to eight times
  std::int64_t layers = 3;     ///< of stride 2; 0 looks at single pixels
  std::string norm = "batch";  ///< MapNorm's

  void describe(OptionSchema& schema, const std::string& section);
  /// Throws Error(options) where images are too small for a patch.
  void check(const std::string& section, std::int64_t height, std::int64_t width_of_images) const;
};

/// PatchGAN (Isola et al., arXiv 1611.07004, section 6.1.2): a verdict on each patch of an image. `layers` 4x4
/// convolutions of stride 2, one of stride 1, and one to the logits; norm and leaky ReLU between them, no norm after
/// the first. Patches are 16x16 for 1 layer, 70x70 for 3, 286x286 for 5, and with 0 layers, whose kernels are 1x1,
/// single pixels. Parameters "conv<i>" and with batch norm "norm<i>".
class PatchDiscriminator final : public Network {
 public:
  explicit PatchDiscriminator(const PatchDiscriminatorOptions& options);
  /// x [N, C, H, W] -> logits [N, 1, H', W'], high for real; H' = H / 2^layers - 2 but with 0 layers H.
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context);

 private:
  struct Layer {
    std::shared_ptr<Conv2d> conv;
    std::int64_t stride = 1;
    std::optional<MapNorm> norm = std::nullopt;
  };
  std::int64_t padding_;
  std::vector<Layer> layers_;
};

}  // namespace ganymede
