#pragma once

#include "models/encoders/image_trunk.h"
#include "models/gan/image_draws.h"

namespace ganymede {

/// What an encoder says of the latents of N images: one each, or a normal distribution with a diagonal covariance.
struct LatentPosterior {
  at::Tensor mean;          ///< [N, D]
  at::Tensor log_variance;  ///< [N, D]; undefined where the mean is all there is

  /// eps [N, D], standard normal.
  at::Tensor noise(const ImageDraws& draws) const { return draws.normal("posterior", mean.size(1)); }
  /// [N, D]: the mean, or mean + exp(log_variance / 2) eps (Kingma and Welling, arXiv 1312.6114,
  /// section 2.4).
  at::Tensor drawn(const ImageDraws& draws) const;
  /// [N]: the divergence from N(0, I) in nats, sum over D of (mean^2 + variance - log variance - 1) / 2 (the same,
  /// appendix B). Needs a variance.
  at::Tensor divergence() const;
};

/// images [N, C, H, W] -> latents [N, D].
class ImageEncoder final : public Network {
 public:
  ImageEncoder(const EncoderNetworkOptions& options, const ImageSpec& images, std::int64_t latent,
               bool gaussian);
  LatentPosterior forward(const at::Tensor& x, const ForwardContext& context);

 private:
  std::shared_ptr<ImageTrunk> trunk_;
  std::shared_ptr<Linear> mean_, log_variance_;  // the latter null for one latent an image
};

/// Whether latents [N, D] stand for their images, or are drawn: logits [N], high for what `bigan` takes from the
/// encoder. images and latents have layers of their own before they meet (Dumoulin et al., arXiv 1606.00704, figure 1).
class JointDiscriminator final : public Network {
 public:
  JointDiscriminator(const EncoderNetworkOptions& options, const ImageSpec& images, std::int64_t latent);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& z, const ForwardContext& context);

 private:
  std::shared_ptr<ImageTrunk> trunk_;
  std::shared_ptr<LeakyLayers> latent_, joint_;
  std::shared_ptr<Linear> linear_;
};

/// latents [N, D] -> logits [N], high for those of the prior.
class LatentDiscriminator final : public Network {
 public:
  LatentDiscriminator(const EncoderNetworkOptions& options, std::int64_t latent);
  at::Tensor forward(const at::Tensor& z, const ForwardContext& context);

 private:
  std::shared_ptr<LeakyLayers> latent_;
  std::shared_ptr<Linear> linear_;
};

}  // namespace ganymede
