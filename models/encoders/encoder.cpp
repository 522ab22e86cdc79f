#include "models/encoders/encoder.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

at::Tensor as_input(const at::Tensor& z, const ForwardContext& context) {
  return z.to(context.activations.value_or(z.scalar_type()));
}

}  // namespace

at::Tensor LatentPosterior::drawn(const ImageDraws& draws) const {
  if (!log_variance.defined()) return mean;
  return mean + (log_variance / 2).exp() * noise(draws);
}

at::Tensor LatentPosterior::divergence() const {
  return (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2;
}

ImageEncoder::ImageEncoder(const EncoderNetworkOptions& options, const ImageSpec& images, std::int64_t latent,
                           bool gaussian) {
  trunk_ = register_module("trunk", std::make_shared<ImageTrunk>(options, images));
  mean_ = register_module("mean", std::make_shared<Linear>(trunk_->features(), latent, WeightOptions{}));
  if (gaussian)
    log_variance_ = register_module("log_variance",
                                    std::make_shared<Linear>(trunk_->features(), latent, WeightOptions{}));
}

LatentPosterior ImageEncoder::forward(const at::Tensor& x, const ForwardContext& context) {
  const at::Tensor h = trunk_->forward(x, context);
  return {mean_->forward(h), log_variance_ ? log_variance_->forward(h) : at::Tensor()};
}

JointDiscriminator::JointDiscriminator(const EncoderNetworkOptions& options, const ImageSpec& images,
                                       std::int64_t latent) {
  trunk_ = register_module("trunk", std::make_shared<ImageTrunk>(options, images));
  latent_ = register_module("latent", std::make_shared<LeakyLayers>(latent, options.latent_widths));
  joint_ = register_module(
      "joint", std::make_shared<LeakyLayers>(trunk_->features() + latent_->out(), options.joint_widths));
  linear_ = register_module("linear", std::make_shared<Linear>(joint_->out(), 1, WeightOptions{}));
}

at::Tensor JointDiscriminator::forward(const at::Tensor& x, const at::Tensor& z,
                                       const ForwardContext& context) {
  const at::ScalarType type = linear_->weight().scalar_type();
  const at::Tensor of_latent = latent_->forward(as_input(z, context));
  const at::Tensor both = at::cat({trunk_->forward(x, context).to(of_latent.scalar_type()), of_latent}, 1);
  const at::Tensor h = joint_->forward(both).to(type);
  context.keep_features(h);
  return linear_->forward(h).squeeze(1);
}

LatentDiscriminator::LatentDiscriminator(const EncoderNetworkOptions& options, std::int64_t latent) {
  latent_ = register_module("latent", std::make_shared<LeakyLayers>(latent, options.latent_widths));
  linear_ = register_module("linear", std::make_shared<Linear>(latent_->out(), 1, WeightOptions{}));
}

at::Tensor LatentDiscriminator::forward(const at::Tensor& z, const ForwardContext& context) {
  const at::ScalarType type = linear_->weight().scalar_type();
  return linear_->forward(latent_->forward(as_input(z, context)).to(type)).squeeze(1);
}

}  // namespace ganymede
