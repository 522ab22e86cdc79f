#include "models/gan/networks/sngan.h"

#include <ATen/ATen.h>

#include <numbers>

#include "core/error.h"

namespace ganymede {
namespace {

/// Widths in units of ch, and how many of D's first blocks halve the resolution. G doubles it in each block.
struct Plan {
  std::vector<std::int64_t> generator;      ///< G's first map, then each block's output
  std::vector<std::int64_t> discriminator;  ///< each block's output
  std::int64_t halvings;
};

Plan plan_of(std::int64_t resolution) {
  switch (resolution) {
    case 32:
      return {{1, 1, 1, 1}, {1, 1, 1, 1}, 2};
    case 64:
      return {{16, 8, 4, 2, 1}, {1, 2, 4, 8, 16}, 5};
    case 128:
      return {{16, 16, 8, 4, 2, 1}, {1, 2, 4, 8, 16, 16}, 5};
    default:
      fail(ExitCode::options, "sngan.resolution = {}: give one of 32, 64, 128", resolution);
  }
}

WeightOptions weights_of(bool spectral_norm, const SnganOptions& options) {
  return {.spectral_norm = spectral_norm, .eps = options.spectral_norm_eps};
}

/// Those of the blocks' 3x3 convolutions.
WeightOptions residual(WeightOptions weights) {
  weights.gain = std::numbers::sqrt2;
  return weights;
}

std::shared_ptr<SelfAttention> attention_at(std::int64_t resolution, std::int64_t channels,
                                            const SnganOptions& options, const WeightOptions& weights) {
  if (std::ranges::find(options.attention, resolution) == options.attention.end()) return nullptr;
  return std::make_shared<SelfAttention>(channels, weights);
}

}  // namespace

class SnganGenerator::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t out, const SnganOptions& options, const WeightOptions& weights)
      : nearest_(options.upsampling == "nearest") {
    add_norm(0, in, options);
    add_norm(1, out, options);
    conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, residual(weights)));
    conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, residual(weights)));
    shortcut_ = register_module("shortcut", std::make_shared<Conv2d>(in, out, 1, weights));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) {
    at::Tensor h = norm(0, x, labels, context);
    h = nearest_ ? conv1_->forward_upsampled(h) : conv1_->forward(upsample(h));
    h = norm(1, h, labels, context);
    // A 1x1 convolution and upsampling commute; this order costs a quarter.
    return conv2_->forward(h) + upsample(shortcut_->forward(x));
  }

 private:
  void add_norm(std::size_t i, std::int64_t channels, const SnganOptions& options) {
    const BatchNormOptions norm{.eps = options.batch_norm_eps, .activation = Activation::relu};
    const std::string name = fmt::format("norm{}", i + 1);
    if (options.generator_conditional())
      by_class_[i] = register_module(name, std::make_shared<ClassBatchNorm>(channels, options.classes, norm));
    else
      plain_[i] = register_module(name, std::make_shared<AffineBatchNorm>(channels, norm));
  }

  at::Tensor norm(std::size_t i, const at::Tensor& x, const at::Tensor& labels,
                  const ForwardContext& context) {
    return plain_[i] ? plain_[i]->forward(x, context) : by_class_[i]->forward(x, labels, context);
  }

  at::Tensor upsample(const at::Tensor& x) const {
    const std::int64_t size[] = {x.size(2) * 2, x.size(3) * 2};
    return nearest_ ? at::upsample_nearest2d(x, size)
                    : at::upsample_bilinear2d(x, size, /*align_corners=*/false);
  }

  bool nearest_;
  std::shared_ptr<AffineBatchNorm> plain_[2];
  std::shared_ptr<ClassBatchNorm> by_class_[2];
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
};

SnganGenerator::SnganGenerator(const SnganOptions& options) : latent_(options.latent) {
  const Plan plan = plan_of(options.resolution);
  const std::int64_t ch = options.generator_channels;
  const WeightOptions weights = weights_of(options.generator_spectral_norm, options);
  first_channels_ = plan.generator[0] * ch;
  linear_ = register_module("linear", std::make_shared<Linear>(latent_, first_channels_ * 16, weights));
  for (std::size_t i = 0; i + 1 < plan.generator.size(); ++i) {
    const std::int64_t out = plan.generator[i + 1] * ch;
    blocks_.push_back(register_module(
        fmt::format("block{}", i), std::make_shared<Block>(plan.generator[i] * ch, out, options, weights)));
    attention_.push_back(attention_at(std::int64_t{8} << i, out, options, weights));
    if (attention_.back()) register_module(fmt::format("attention{}", i), attention_.back());
  }
  const std::int64_t last = plan.generator.back() * ch;
  norm_ = register_module(
      "norm", std::make_shared<AffineBatchNorm>(
                  last, BatchNormOptions{.eps = options.batch_norm_eps, .activation = Activation::relu}));
  to_image_ = register_module("to_image", std::make_shared<Conv2d>(last, options.image_channels, 3, weights));
}

at::Tensor SnganGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                   const ForwardContext& context) {
  at::Tensor h = context.as_map(linear_->forward(z).view({z.size(0), first_channels_, 4, 4}));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h, labels, context);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  return at::tanh(to_image_->forward(norm_->forward(h, context)).to(z.scalar_type()));
}

SnganDiscriminator::SnganDiscriminator(const SnganOptions& options) {
  const Plan plan = plan_of(options.resolution);
  const WeightOptions weights = weights_of(options.discriminator_spectral_norm, options);
  std::int64_t resolution = options.resolution, in = options.image_channels;
  for (std::size_t i = 0; i < plan.discriminator.size(); ++i) {
    const std::int64_t out = plan.discriminator[i] * options.discriminator_channels;
    const bool halve = static_cast<std::int64_t>(i) < plan.halvings;
    if (halve) resolution /= 2;
    // As wide inside as behind where the block sees the image itself.
    const DiscriminatorBlock::Options block{.in = in,
                                            .hidden = i == 0 ? out : in,
                                            .out = out,
                                            .first = i == 0,
                                            .halve = halve,
                                            .inner = residual(weights),
                                            .shortcut = weights,
                                            .norm = options.image_norm()};
    blocks_.push_back(
        register_module(fmt::format("block{}", i), std::make_shared<DiscriminatorBlock>(block)));
    // One attention a resolution: after the block that first reaches it.
    attention_.push_back(halve ? attention_at(resolution, out, options, weights) : nullptr);
    if (attention_.back()) register_module(fmt::format("attention{}", i), attention_.back());
    in = out;
  }
  linear_ = register_module("linear", std::make_shared<Linear>(in, 1, weights));
  if (options.discriminator_conditional())
    embed_ = register_module("embed", std::make_shared<Embedding>(options.classes, in, weights));
}

at::Tensor SnganDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                       const ForwardContext& context) {
  at::Tensor h = context.as_map(x);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  h = at::relu(h).sum({2, 3}, /*keepdim=*/false, linear_->weight().scalar_type());  // [N, C]
  context.keep_features(h);
  const at::Tensor logits = linear_->forward(h).squeeze(1);
  return embed_ ? logits + (embed_->forward(labels) * h).sum(1) : logits;
}

void SnganOptions::describe(OptionSchema& schema) {
  schema.add("sngan.resolution", resolution, "pixels", {32, 128}, "width and height: 32, 64 or 128");
  schema.add("sngan.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("sngan.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add(
      "sngan.conditioning", conditioning, {"none", "projection", "generator"},
      "none: labels are not looked at; projection: G's batch norms by class, D's projection; generator: G's "
      "batch norms by class alone");
  schema.add("sngan.generator_channels", generator_channels, "", {1, 4096}, "ch, the unit of G's widths");
  schema.add("sngan.discriminator_channels", discriminator_channels, "", {1, 4096},
             "ch, the unit of D's widths");
  schema.add("sngan.latent", latent, "", {1, 4096}, "width of z");
  schema.add("sngan.upsampling", upsampling, {"bilinear", "nearest"}, "how G enlarges its maps");
  schema.add("sngan.attention", attention, "pixels", {8, 64}, "resolutions with self-attention (SAGAN)");
  schema.add("sngan.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
  schema.add("sngan.generator_spectral_norm", generator_spectral_norm, "spectral norm on all of G's layers");
  schema.add("sngan.discriminator_spectral_norm", discriminator_spectral_norm,
             "spectral norm on all of D's layers");
  schema.add("sngan.discriminator_norm", discriminator_norm, {"none", "layer", "instance", "group"},
             "norm in D's blocks, of one image each; instead of spectral norm");
  schema.add("sngan.norm_groups", norm_groups, "", {1, 4096}, "groups of channels of D's group norm");
  schema.add("sngan.batch_norm_eps", batch_norm_eps, "", {1e-12, 1}, "epsilon in batch norm");
  schema.add("sngan.spectral_norm_eps", spectral_norm_eps, "", {1e-15, 1}, "least norm in spectral norm");
}

namespace {

class Sngan final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    const Plan plan = plan_of(options_.resolution);
    if (options_.discriminator_norm != "none" && options_.discriminator_spectral_norm)
      fail(ExitCode::options,
           "sngan.discriminator_norm = {} divides by what sngan.discriminator_spectral_norm bounds: set one "
           "of "
           "them to its off value, none or false",
           options_.discriminator_norm);
    check_image_norm(options_.discriminator_channels, options_.image_norm(), "sngan.norm_groups");
    for (const std::int64_t resolution : options_.attention) {
      if (resolution >= options_.resolution || (resolution & (resolution - 1)) != 0)
        fail(ExitCode::options, "sngan.attention = {}: give powers of two below sngan.resolution = {}",
             resolution, options_.resolution);
      for (std::size_t i = 1; i < plan.generator.size(); ++i)
        if (std::int64_t{4} << i == resolution)
          check_width(resolution, plan.generator[i] * options_.generator_channels, "G");
      for (std::size_t i = 0; static_cast<std::int64_t>(i) < plan.halvings; ++i)
        if (options_.resolution >> (i + 1) == resolution)
          check_width(resolution, plan.discriminator[i] * options_.discriminator_channels, "D");
    }
  }
  std::shared_ptr<Generator> generator() const override { return std::make_shared<SnganGenerator>(options_); }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<SnganDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override {
    return plan_of(options_.resolution).discriminator.back() * options_.discriminator_channels;
  }
  GanConditioning conditioning() const override {
    return {options_.generator_conditional(), options_.discriminator_conditional()};
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  static void check_width(std::int64_t resolution, std::int64_t channels, const char* network) {
    if (channels % 8 != 0)
      fail(ExitCode::options, "sngan.attention = {}: {}'s {} channels there are not a multiple of 8",
           resolution, network, channels);
  }

  SnganOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_sngan() {
  return std::make_unique<Sngan>();
}

}  // namespace ganymede
