#include "models/first_stages/autoencoder.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/layers/initialise.h"

namespace ganymede {

void AutoencoderOptions::describe(OptionSchema& schema) {
  schema.add("first_stage.latent", latent, {"kl", "vq"},
             "kl: latents are normal distributions; vq: vectors of a codebook");
  schema.add("first_stage.latent_channels", latent_channels, "", {1, 1024}, "channels of a latent");
  schema.add("first_stage.codes", codes, "", {2, 1 << 20},
             "vectors in the codebook of first_stage.latent = vq");
  coder.describe(schema, "first_stage");
}

void AutoencoderOptions::check() const {
  coder.check("first_stage");
}

ImageSpec AutoencoderOptions::images() const {
  return {.channels = coder.image_channels,
          .height = coder.resolution,
          .width = coder.resolution,
          .classes = 1,
          .sources = SourceImages::own,
          .source_channels = coder.image_channels};
}

LatentMoments::LatentMoments(const at::Tensor& moments) {
  const auto parts = moments.chunk(2, 1);
  mean = parts[0];
  log_variance = parts[1].clamp(-30, 20);
}

at::Tensor LatentMoments::drawn(const at::Tensor& eps) const {
  return mean + (log_variance / 2).exp() * eps;
}

at::Tensor LatentMoments::divergence() const {
  return ((mean.square() + log_variance.exp() - log_variance - 1) / 2).flatten(1).sum(1);
}

Autoencoder::Autoencoder(const AutoencoderOptions& options) {
  const std::int64_t z = options.latent_channels, moments = options.moment_channels();
  encoder_ = register_module("encoder", std::make_shared<LatentEncoder>(options.coder, moments));
  decoder_ = register_module("decoder", std::make_shared<LatentDecoder>(options.coder, z));
  quant_ = register_module("quant_conv", std::make_shared<Conv2d>(moments, moments, 1, WeightOptions{}));
  if (options.quantises())
    codebook_ = register_module("quantize", std::make_shared<Codebook>(options.codes, z));
  post_quant_ = register_module("post_quant_conv", std::make_shared<Conv2d>(z, z, 1, WeightOptions{}));
}

at::Tensor Autoencoder::encode(const at::Tensor& x, std::optional<at::ScalarType> activations) {
  return quant_->forward(
      encoder_->forward(x.to(activations.value_or(type()), false, false, at::MemoryFormat::ChannelsLast))
          .to(type()));
}

at::Tensor Autoencoder::before_last_layer(const at::Tensor& z, std::optional<at::ScalarType> activations) {
  const at::Tensor h = post_quant_->forward(z.to(type(), false, false, at::MemoryFormat::ChannelsLast));
  return decoder_->before_last_layer(h.to(activations.value_or(type())));
}

at::Tensor Autoencoder::last_layer(const at::Tensor& h) {
  return decoder_->last_layer(h).to(type());
}

at::Tensor Autoencoder::decode(const at::Tensor& z, std::optional<at::ScalarType> activations) {
  return last_layer(before_last_layer(z, activations));
}

void Autoencoder::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "xavier", seed);
  if (codebook_) codebook_->initialise(seed);
}

}  // namespace ganymede
