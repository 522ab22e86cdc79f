#include "models/gan/networks/biggan.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

/// Widths in units of ch, and which blocks of D halve the resolution. G doubles it in each block.
struct Plan {
  std::vector<std::int64_t> generator;      ///< G's first map, then each block's output
  std::vector<std::int64_t> discriminator;  ///< each block's output
  std::int64_t halvings;                    ///< D's first blocks that halve
};

Plan plan_of(std::int64_t resolution) {
  switch (resolution) {
    case 32:
      return {{4, 4, 4, 4}, {4, 4, 4, 4}, 2};
    case 64:
      return {{16, 16, 8, 4, 2}, {1, 2, 4, 8, 16}, 4};
    case 128:
      return {{16, 16, 8, 4, 2, 1}, {1, 2, 4, 8, 16, 16}, 5};
    case 256:
      return {{16, 16, 8, 8, 4, 2, 1}, {1, 2, 4, 8, 8, 16, 16}, 6};
    case 512:
      return {{16, 16, 8, 8, 4, 2, 1, 1}, {1, 1, 2, 4, 8, 8, 16, 16}, 7};
    default:
      fail(ExitCode::options, "biggan.resolution = {}: give one of 32, 64, 128, 256, 512", resolution);
  }
}

at::Tensor upsample(const at::Tensor& x) {
  return at::upsample_nearest2d(x, at::IntArrayRef({x.size(2) * 2, x.size(3) * 2}));
}

WeightOptions weights_of(bool spectral_norm, const BigGanOptions& options) {
  return {.bias = true, .spectral_norm = spectral_norm, .eps = options.spectral_norm_eps};
}

std::shared_ptr<SelfAttention> attention_at(std::int64_t resolution, std::int64_t channels,
                                            const BigGanOptions& options, const WeightOptions& weights) {
  if (std::ranges::find(options.attention, resolution) == options.attention.end()) return nullptr;
  return std::make_shared<SelfAttention>(channels, weights);
}

}  // namespace

class BigGanGenerator::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t out, const BigGanOptions& options, const WeightOptions& weights) {
    const std::int64_t condition = options.shared + options.chunk;
    const BatchNormOptions norm{.eps = options.batch_norm_eps, .activation = Activation::relu};
    norm1_ = register_module("norm1", std::make_shared<ConditionalBatchNorm>(in, condition, norm, weights));
    conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, weights));
    norm2_ = register_module("norm2", std::make_shared<ConditionalBatchNorm>(out, condition, norm, weights));
    conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, weights));
    shortcut_ = register_module("shortcut", std::make_shared<Conv2d>(in, out, 1, weights));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& y, const ForwardContext& context) {
    at::Tensor h = conv1_->forward_upsampled(norm1_->forward(x, y, context));
    h = norm2_->forward(h, y, context);
    // A 1x1 convolution and nearest upsampling commute; this order costs a quarter.
    return conv2_->forward(h) + upsample(shortcut_->forward(x));
  }

 private:
  std::shared_ptr<ConditionalBatchNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
};

BigGanGenerator::BigGanGenerator(const BigGanOptions& options) : options_(options) {
  const Plan plan = plan_of(options.resolution);
  const std::int64_t ch = options.generator_channels;
  const WeightOptions weights = weights_of(options.generator_spectral_norm, options);
  first_channels_ = plan.generator[0] * ch;
  shared_ = register_module("shared",
                            std::make_shared<Embedding>(options.classes, options.shared, WeightOptions{}));
  linear_ = register_module("linear", std::make_shared<Linear>(options.chunk, first_channels_ * 16, weights));
  std::int64_t resolution = 4;
  for (std::size_t i = 0; i + 1 < plan.generator.size(); ++i) {
    const std::int64_t out = plan.generator[i + 1] * ch;
    resolution *= 2;
    blocks_.push_back(register_module(
        fmt::format("block{}", i), std::make_shared<Block>(plan.generator[i] * ch, out, options, weights)));
    attention_.push_back(attention_at(resolution, out, options, weights));
    if (attention_.back()) register_module(fmt::format("attention{}", i), attention_.back());
  }
  const std::int64_t last = plan.generator.back() * ch;
  norm_ = register_module(
      "norm", std::make_shared<AffineBatchNorm>(
                  last, BatchNormOptions{.eps = options.batch_norm_eps, .activation = Activation::relu}));
  to_image_ = register_module("to_image", std::make_shared<Conv2d>(last, options.image_channels, 3, weights));
}

std::int64_t BigGanGenerator::latent_size() const {
  return options_.chunk * static_cast<std::int64_t>(blocks_.size() + 1);
}

at::Tensor BigGanGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                    const ForwardContext& context) {
  const at::Tensor y = shared_->forward(labels);  // [N, shared]
  const auto chunks = z.split(options_.chunk, 1);
  at::Tensor h = linear_->forward(chunks[0]).view({z.size(0), first_channels_, 4, 4});
  h = context.as_map(h);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h, at::cat({y, chunks[i + 1]}, 1), context);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  return at::tanh(to_image_->forward(norm_->forward(h, context)).to(z.scalar_type()));
}

BigGanDiscriminator::BigGanDiscriminator(const BigGanOptions& options) {
  const Plan plan = plan_of(options.resolution);
  const std::int64_t ch = options.discriminator_channels;
  const WeightOptions weights = weights_of(options.discriminator_spectral_norm, options);
  std::int64_t resolution = options.resolution, in = options.image_channels;
  for (std::size_t i = 0; i < plan.discriminator.size(); ++i) {
    const std::int64_t out = plan.discriminator[i] * ch;
    const bool halve = static_cast<std::int64_t>(i) < plan.halvings;
    if (halve) resolution /= 2;
    const DiscriminatorBlock::Options block{.in = in,
                                            .hidden = out,
                                            .out = out,
                                            .first = i == 0,
                                            .halve = halve,
                                            .inner = weights,
                                            .shortcut = weights};
    blocks_.push_back(
        register_module(fmt::format("block{}", i), std::make_shared<DiscriminatorBlock>(block)));
    // One attention a resolution: after the block that first reaches it.
    attention_.push_back(halve ? attention_at(resolution, out, options, weights) : nullptr);
    if (attention_.back()) register_module(fmt::format("attention{}", i), attention_.back());
    in = out;
  }
  linear_ = register_module("linear", std::make_shared<Linear>(in, 1, weights));
  embed_ = register_module("embed", std::make_shared<Embedding>(options.classes, in, weights));
}

at::Tensor BigGanDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                        const ForwardContext& context) {
  at::Tensor h = context.as_map(x);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  h = at::relu(h).sum({2, 3}, /*keepdim=*/false, linear_->weight().scalar_type());  // [N, C]
  context.keep_features(h);
  return linear_->forward(h).squeeze(1) + (embed_->forward(labels) * h).sum(1);
}

void BigGanOptions::describe(OptionSchema& schema) {
  schema.add("biggan.resolution", resolution, "pixels", {32, 512},
             "width and height: 32, 64, 128, 256 or 512");
  schema.add("biggan.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("biggan.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("biggan.generator_channels", generator_channels, "", {1, 4096}, "ch, the unit of G's widths");
  schema.add("biggan.discriminator_channels", discriminator_channels, "", {1, 4096},
             "ch, the unit of D's widths");
  schema.add("biggan.chunk", chunk, "", {1, 4096}, "width of each chunk of z");
  schema.add("biggan.shared", shared, "", {1, 4096}, "width of the shared class embedding");
  schema.add("biggan.attention", attention, "pixels", {8, 256}, "resolutions with self-attention");
  schema.add("biggan.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
  schema.add("biggan.generator_spectral_norm", generator_spectral_norm, "spectral norm on all of G's layers");
  schema.add("biggan.discriminator_spectral_norm", discriminator_spectral_norm,
             "spectral norm on all of D's layers");
  schema.add("biggan.batch_norm_eps", batch_norm_eps, "", {1e-12, 1}, "epsilon in batch norm");
  schema.add("biggan.spectral_norm_eps", spectral_norm_eps, "", {1e-15, 1}, "least norm in spectral norm");
}

namespace {

class BigGan final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    const Plan plan = plan_of(options_.resolution);
    const auto check_attention = [&](std::int64_t resolution, std::int64_t channels, const char* network) {
      if (std::ranges::find(options_.attention, resolution) != options_.attention.end() && channels % 8 != 0)
        fail(ExitCode::options, "biggan.attention = {}: {}'s {} channels there are not a multiple of 8",
             resolution, network, channels);
    };
    for (const std::int64_t resolution : options_.attention)
      if (resolution >= options_.resolution || (resolution & (resolution - 1)) != 0)
        fail(ExitCode::options, "biggan.attention = {}: give powers of two below biggan.resolution = {}",
             resolution, options_.resolution);
    for (std::size_t i = 1; i < plan.generator.size(); ++i)
      check_attention(std::int64_t{4} << i, plan.generator[i] * options_.generator_channels, "G");
    for (std::size_t i = 0; i < plan.discriminator.size(); ++i)
      if (static_cast<std::int64_t>(i) < plan.halvings)
        check_attention(options_.resolution >> (i + 1),
                        plan.discriminator[i] * options_.discriminator_channels, "D");
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<BigGanGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<BigGanDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override {
    return plan_of(options_.resolution).discriminator.back() * options_.discriminator_channels;
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  BigGanOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_biggan() {
  return std::make_unique<BigGan>();
}

}  // namespace ganymede
