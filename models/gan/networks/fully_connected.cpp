#include "models/gan/networks/fully_connected.h"

#include <ATen/ATen.h>

#include "models/layers/latent.h"

namespace ganymede {
namespace {

/// x [N, D] with the one-hot label of so many numbers beside it, in the type of maps.
at::Tensor joined(const at::Tensor& x, const at::Tensor& labels, std::int64_t condition,
                  const ForwardContext& context) {
  at::Tensor input = x;
  if (condition > 0) input = at::cat({x, at::one_hot(labels, condition).to(x.scalar_type())}, 1);
  return input.to(context.activations.value_or(x.scalar_type()));
}

}  // namespace

FullyConnectedGenerator::FullyConnectedGenerator(const FullyConnectedOptions& options) : options_(options) {
  std::int64_t in = options.latent + options.generator_condition();
  for (const std::int64_t width : options.generator_widths) {
    layers_.push_back(register_module(fmt::format("linear{}", layers_.size()),
                                      std::make_shared<Linear>(in, width, WeightOptions{})));
    in = width;
  }
  to_image_ = register_module("to_image", std::make_shared<Linear>(in, options.pixels(), WeightOptions{}));
}

at::Tensor FullyConnectedGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                            const ForwardContext& context) {
  at::Tensor h = options_.latent_distribution == "uniform" ? uniform_of_normal(z) : z;
  h = joined(h, labels, options_.generator_condition(), context);
  for (const auto& layer : layers_) h = at::relu(layer->forward(h));
  h = to_image_->forward(h).to(z.scalar_type());
  if (options_.output == "tanh") h = at::tanh(h);
  return context.as_map(h.view({-1, options_.image_channels, options_.height, options_.width}))
      .to(z.scalar_type());
}

FullyConnectedDiscriminator::FullyConnectedDiscriminator(const FullyConnectedOptions& options)
    : options_(options) {
  std::int64_t in = options.pixels() + options.discriminator_condition();
  for (const std::int64_t width : options.discriminator_widths) {
    layers_.push_back(register_module(fmt::format("linear{}", layers_.size()),
                                      std::make_shared<Linear>(in, width * options.pieces, WeightOptions{})));
    in = width;
  }
  linear_ = register_module("linear", std::make_shared<Linear>(in, 1, WeightOptions{}));
}

at::Tensor FullyConnectedDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                                const ForwardContext& context) {
  at::Tensor h = joined(x.flatten(1), labels, options_.discriminator_condition(), context);
  for (const auto& layer : layers_) h = layer->forward(h).unflatten(1, {options_.pieces, -1}).amax(1);
  const at::ScalarType type = linear_->weight().scalar_type();
  context.keep_features(h.to(type));
  return linear_->forward(h).to(type).squeeze(1);
}

void FullyConnectedOptions::describe(OptionSchema& schema) {
  schema.add("fully_connected.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("fully_connected.height", height, "pixels", {1, 1024}, "height of an image");
  schema.add("fully_connected.width", width, "pixels", {1, 1024}, "width of an image");
  schema.add("fully_connected.classes", classes, "", {1, 1e6},
             "number of classes; 1 for an unlabelled dataset");
  schema.add(
      "fully_connected.conditioning", conditioning, {"none", "concatenation", "generator"},
      "none: labels are not looked at; concatenation: one-hot beside the input of G and of D; generator: "
      "of G alone");
  schema.add("fully_connected.latent", latent, "", {1, 4096}, "width of z");
  schema.add("fully_connected.latent_distribution", latent_distribution, {"uniform", "normal"},
             "z uniform in (-1, 1) or standard normal");
  schema.add("fully_connected.generator_widths", generator_widths, "", {1, 1 << 16},
             "rectifiers of each of G's hidden layers");
  schema.add("fully_connected.discriminator_widths", discriminator_widths, "", {1, 1 << 16},
             "maxout units of each of D's hidden layers");
  schema.add("fully_connected.pieces", pieces, "", {1, 64}, "linear pieces of a maxout unit");
  schema.add("fully_connected.output", output, {"tanh", "linear"},
             "G's end; linear for points that lie outside (-1, 1)");
  schema.add("fully_connected.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
}

namespace {

class FullyConnected final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {}
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<FullyConnectedGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<FullyConnectedDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override {
    return options_.discriminator_widths.empty() ? options_.pixels() + options_.discriminator_condition()
                                                 : options_.discriminator_widths.back();
  }
  GanConditioning conditioning() const override {
    return {options_.generator_condition() > 0, options_.discriminator_condition() > 0};
  }
  std::string setting_for_plain_latent() const override {
    return options_.latent_distribution == "normal" ? "" : "fully_connected.latent_distribution = normal";
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.height, options_.width, options_.classes};
  }

 private:
  FullyConnectedOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_fully_connected() {
  return std::make_unique<FullyConnected>();
}

}  // namespace ganymede
