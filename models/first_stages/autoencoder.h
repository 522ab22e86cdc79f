#pragma once

#include "core/options.h"
#include "models/first_stages/codebook.h"
#include "models/first_stages/coder.h"
#include "models/image_spec.h"

namespace ganymede {

/// The autoencoder of latent diffusion (Rombach et al., arXiv 2112.10752, appendix G), with layers and names as
/// diffusers' AutoencoderKL and VQModel have them.
struct AutoencoderOptions {
  std::string latent = "kl";  ///< kl: a normal distribution; vq: entries of a codebook
  std::int64_t latent_channels = 3;
  std::int64_t codes = 8192;  ///< of "vq"
  CoderOptions coder;

  void describe(OptionSchema& schema);
  /// Throws Error(options) where single options are in range but do not fit together.
  void check() const;
  bool quantises() const { return latent == "vq"; }
  /// Height and width of a latent.
  std::int64_t latent_size() const { return coder.resolution >> (coder.channels.size() - 1); }
  /// Channels of what the encoder says of an image: mean and logarithm of the variance, or the vectors themselves.
  std::int64_t moment_channels() const { return quantises() ? latent_channels : 2 * latent_channels; }
  ImageSpec images() const;
};

/// What an encoder says of the latents of N images: a normal distribution with a diagonal covariance.
struct LatentMoments {
  at::Tensor mean;          ///< [N, z, h, w]
  at::Tensor log_variance;  ///< [N, z, h, w], within [-30, 20]

  /// Of moments [N, 2 z, h, w], as they come from Autoencoder::encode.
  explicit LatentMoments(const at::Tensor& moments);
  /// mean + exp(log_variance / 2) eps.
  at::Tensor drawn(const at::Tensor& eps) const;
  /// [N]: the divergence from N(0, I) in nats, sum over z, h, w of (mean^2 + variance - log variance - 1) / 2.
  at::Tensor divergence() const;
};

/// Images [N, C, H, W] in [-1, 1] <-> latents [N, z, h, w], h = H / 2^(levels - 1). Modules "encoder", "decoder",
/// "quant_conv", "post_quant_conv" and, of "vq", "quantize". `activations` is the type of maps between layers; without
/// one, that of the weights. A latent that is drawn or quantised is for decode().
class Autoencoder final : public torch::nn::Module {
 public:
  explicit Autoencoder(const AutoencoderOptions& options);

  /// -> moments [N, 2 z, h, w] of "kl", vectors [N, z, h, w] of "vq", of the weights' type.
  at::Tensor encode(const at::Tensor& x, std::optional<at::ScalarType> activations = std::nullopt);
  /// Of "vq" only.
  Codebook& codebook() { return *codebook_; }
  /// -> images, of the weights' type.
  at::Tensor decode(const at::Tensor& z, std::optional<at::ScalarType> activations = std::nullopt);
  /// decode() in two parts, the second of which is the last layer alone: an adaptive weight asks for its gradient.
  at::Tensor before_last_layer(const at::Tensor& z, std::optional<at::ScalarType> activations = std::nullopt);
  at::Tensor last_layer(const at::Tensor& h);
  /// Of the last layer.
  const at::Tensor& last_weight() const { return decoder_->last_weight(); }
  /// Draws weights from (seed, name of the tensor) alone.
  void initialise(std::uint64_t seed);

 private:
  at::ScalarType type() const { return last_weight().scalar_type(); }

  std::shared_ptr<LatentEncoder> encoder_;
  std::shared_ptr<LatentDecoder> decoder_;
  std::shared_ptr<Conv2d> quant_, post_quant_;
  std::shared_ptr<Codebook> codebook_;  // null of "kl"
};

}  // namespace ganymede
