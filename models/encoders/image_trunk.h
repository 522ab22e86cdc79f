#pragma once

#include "models/gan/network.h"
#include "models/layers/batch_norm.h"
#include "models/layers/strided.h"

namespace ganymede {

/// Networks that look at images or at latents, beside those of `gan.network`. Legend: N images, D numbers of a latent,
/// F features.
struct EncoderNetworkOptions {
  std::string network = "convolutional";
  std::int64_t channels = 64;
  std::int64_t kernel = 5;
  std::vector<std::int64_t> widths = {1024, 1024};
  std::vector<std::int64_t> latent_widths = {512, 512};
  std::vector<std::int64_t> joint_widths = {1024};

  /// Adds "encoders.network" and so on.
  void describe(OptionSchema& schema);
  /// Throws Error(options) where such images cannot be looked at.
  void check(const ImageSpec& images) const;
};

/// What encoders and joint discriminators begin with: images [N, C, H, W] -> features [N, F], of the weights' type.
///
///   convolutional    as DCGAN's discriminator (Radford et al., arXiv 1511.06434): convolutions of stride 2 with leaky
///                    rectifiers (0.2), batch norm but for the first; each halves the image, as long as it is even
///                    and at least 8 pixels high and wide, and has twice the channels of the one before
///   fully_connected  linear layers with leaky rectifiers (0.2); images of any shape
class ImageTrunk : public torch::nn::Module {
 public:
  ImageTrunk(const EncoderNetworkOptions& options, const ImageSpec& images);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context);
  /// F.
  std::int64_t features() const { return features_; }

 private:
  std::vector<std::shared_ptr<StridedConv2d>> convs_;
  std::vector<std::shared_ptr<AffineBatchNorm>> norms_;  // null for the first
  std::vector<std::shared_ptr<Linear>> linears_;
  std::int64_t features_ = 0;
};

/// Linear layers of these widths with leaky rectifiers (0.2): [N, in] -> [N, out()], of x's type.
class LeakyLayers : public torch::nn::Module {
 public:
  LeakyLayers(std::int64_t in, const std::vector<std::int64_t>& widths);
  at::Tensor forward(const at::Tensor& x);
  std::int64_t out() const { return out_; }

 private:
  std::vector<std::shared_ptr<Linear>> layers_;
  std::int64_t out_;
};

}  // namespace ganymede
