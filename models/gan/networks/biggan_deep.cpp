#include "models/gan/networks/biggan_deep.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/layers/bias_activation.h"

namespace ganymede {
namespace {

/// Widths in units of ch at each resolution: G's from 4x4 up, D's from the image down.
struct Plan {
  std::vector<std::int64_t> generator, discriminator;
  std::int64_t halvings;  ///< D's first pairs of blocks that halve
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
      fail(ExitCode::options, "biggan_deep.resolution = {}: give one of 32, 64, 128, 256, 512", resolution);
  }
}

WeightOptions weights_of(bool spectral_norm, const BigGanDeepOptions& options) {
  return {.spectral_norm = spectral_norm, .eps = options.spectral_norm_eps};
}

bool has_attention(std::int64_t resolution, const BigGanDeepOptions& options) {
  return std::ranges::find(options.attention, resolution) != options.attention.end();
}

at::Tensor rectified(const at::Tensor& x) {
  return bias_activation(x, {}, {.slope = 0, .gain = 1});
}

at::Tensor upsample(const at::Tensor& x) {
  const std::int64_t size[] = {x.size(2) * 2, x.size(3) * 2};
  return at::upsample_nearest2d(x, size);
}

at::Tensor downsample(const at::Tensor& x) {
  return at::avg_pool2d(x, 2);
}

}  // namespace

class BigGanDeepGenerator::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t out, bool upsampling, const BigGanDeepOptions& options,
        const WeightOptions& weights)
      : out_(out), upsampling_(upsampling) {
    const std::int64_t hidden = in / 4;
    const std::int64_t widths[] = {in, hidden, hidden, hidden, out}, kernels[] = {1, 3, 3, 1};
    const BatchNormOptions norm{.eps = options.batch_norm_eps, .activation = Activation::relu};
    for (std::size_t i = 0; i < 4; ++i) {
      norms_[i] = register_module(
          fmt::format("norm{}", i + 1),
          std::make_shared<ConditionalBatchNorm>(widths[i], options.latent + options.shared, norm, weights));
      convs_[i] = register_module(fmt::format("conv{}", i + 1),
                                  std::make_shared<Conv2d>(widths[i], widths[i + 1], kernels[i], weights));
    }
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& y, const ForwardContext& context) {
    at::Tensor h = convs_[0]->forward(norms_[0]->forward(x, y, context));
    h = norms_[1]->forward(h, y, context);
    h = upsampling_ ? convs_[1]->forward_upsampled(h) : convs_[1]->forward(h);
    h = convs_[2]->forward(norms_[2]->forward(h, y, context));
    h = convs_[3]->forward(norms_[3]->forward(h, y, context));
    const at::Tensor kept = out_ == x.size(1) ? x : x.narrow(1, 0, out_);
    return h + (upsampling_ ? upsample(kept) : kept);
  }

 private:
  std::int64_t out_;
  bool upsampling_;
  std::shared_ptr<ConditionalBatchNorm> norms_[4];
  std::shared_ptr<Conv2d> convs_[4];
};

BigGanDeepGenerator::BigGanDeepGenerator(const BigGanDeepOptions& options) : latent_(options.latent) {
  const Plan plan = plan_of(options.resolution);
  const WeightOptions weights = weights_of(options.generator_spectral_norm, options);
  first_channels_ = plan.generator[0] * options.generator_channels;
  shared_ = register_module("shared",
                            std::make_shared<Embedding>(options.classes, options.shared, WeightOptions{}));
  linear_ = register_module(
      "linear", std::make_shared<Linear>(latent_ + options.shared, first_channels_ * 16, weights));
  const auto add = [&](const std::string& name, std::int64_t in, std::int64_t out, bool upsampling) {
    blocks_.push_back(register_module(name, std::make_shared<Block>(in, out, upsampling, options, weights)));
    attention_.emplace_back();
  };
  for (std::size_t i = 0; i + 1 < plan.generator.size(); ++i) {
    const std::int64_t in = plan.generator[i] * options.generator_channels;
    const std::int64_t out = plan.generator[i + 1] * options.generator_channels;
    add(fmt::format("block{}a", i), in, in, false);
    add(fmt::format("block{}b", i), in, out, true);
    if (has_attention(std::int64_t{8} << i, options))
      attention_.back() =
          register_module(fmt::format("attention{}", i), std::make_shared<SelfAttention>(out, weights));
  }
  const std::int64_t last = plan.generator.back() * options.generator_channels;
  norm_ = register_module(
      "norm", std::make_shared<AffineBatchNorm>(
                  last, BatchNormOptions{.eps = options.batch_norm_eps, .activation = Activation::relu}));
  to_image_ = register_module("to_image", std::make_shared<Conv2d>(last, options.image_channels, 3, weights));
}

at::Tensor BigGanDeepGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                        const ForwardContext& context) {
  const at::Tensor y = at::cat({shared_->forward(labels), z}, 1);
  at::Tensor h = context.as_map(linear_->forward(y).view({z.size(0), first_channels_, 4, 4}));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h, y, context);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  return at::tanh(to_image_->forward(norm_->forward(h, context)).to(z.scalar_type()));
}

class BigGanDeepDiscriminator::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t out, bool halve, const WeightOptions& weights) : halve_(halve) {
    const std::int64_t hidden = out / 4;
    const std::int64_t widths[] = {in, hidden, hidden, hidden, out}, kernels[] = {1, 3, 3, 1};
    for (std::size_t i = 0; i < 4; ++i)
      convs_[i] = register_module(fmt::format("conv{}", i + 1),
                                  std::make_shared<Conv2d>(widths[i], widths[i + 1], kernels[i], weights));
    if (out > in) shortcut_ = register_module("shortcut", std::make_shared<Conv2d>(in, out - in, 1, weights));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor h = convs_[0]->forward(rectified(x));
    h = convs_[1]->forward(rectified(h));
    h = rectified(convs_[2]->forward(rectified(h)));
    h = convs_[3]->forward(halve_ ? downsample(h) : h);
    const at::Tensor kept = halve_ ? downsample(x) : x;
    return h.add_(shortcut_ ? at::cat({kept, shortcut_->forward(kept)}, 1) : kept);
  }

 private:
  bool halve_;
  std::shared_ptr<Conv2d> convs_[4], shortcut_;
};

BigGanDeepDiscriminator::BigGanDeepDiscriminator(const BigGanDeepOptions& options) {
  const Plan plan = plan_of(options.resolution);
  const std::int64_t ch = options.discriminator_channels;
  const WeightOptions weights = weights_of(options.discriminator_spectral_norm, options);
  from_image_ = register_module(
      "from_image", std::make_shared<Conv2d>(options.image_channels, plan.discriminator[0] * ch, 3, weights));
  std::int64_t resolution = options.resolution;
  for (std::size_t i = 0; i + 1 < plan.discriminator.size(); ++i) {
    const std::int64_t in = plan.discriminator[i] * ch, out = plan.discriminator[i + 1] * ch;
    const bool halve = static_cast<std::int64_t>(i) < plan.halvings;
    blocks_.push_back(
        register_module(fmt::format("block{}a", i), std::make_shared<Block>(in, out, halve, weights)));
    blocks_.push_back(
        register_module(fmt::format("block{}b", i), std::make_shared<Block>(out, out, false, weights)));
    attention_.resize(blocks_.size());
    if (!halve) continue;
    resolution /= 2;
    if (has_attention(resolution, options))
      attention_.back() =
          register_module(fmt::format("attention{}", i), std::make_shared<SelfAttention>(out, weights));
  }
  const std::int64_t last = plan.discriminator.back() * ch;
  linear_ = register_module("linear", std::make_shared<Linear>(last, 1, weights));
  embed_ = register_module("embed", std::make_shared<Embedding>(options.classes, last, weights));
}

at::Tensor BigGanDeepDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                            const ForwardContext& context) {
  at::Tensor h = from_image_->forward(context.as_map(x));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    h = blocks_[i]->forward(h);
    if (attention_[i]) h = attention_[i]->forward(h);
  }
  h = at::relu(h).sum({2, 3}, /*keepdim=*/false, linear_->weight().scalar_type());  // [N, C]
  context.keep_features(h);
  return linear_->forward(h).squeeze(1) + (embed_->forward(labels) * h).sum(1);
}

void BigGanDeepOptions::describe(OptionSchema& schema) {
  schema.add("biggan_deep.resolution", resolution, "pixels", {32, 512},
             "width and height: 32, 64, 128, 256 or 512");
  schema.add("biggan_deep.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("biggan_deep.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("biggan_deep.generator_channels", generator_channels, "", {4, 4096},
             "ch, the unit of G's widths: a multiple of 4");
  schema.add("biggan_deep.discriminator_channels", discriminator_channels, "", {4, 4096},
             "ch, the unit of D's widths: a multiple of 4");
  schema.add("biggan_deep.latent", latent, "", {1, 4096}, "width of z");
  schema.add("biggan_deep.shared", shared, "", {1, 4096}, "width of the shared class embedding");
  schema.add("biggan_deep.attention", attention, "pixels", {8, 256}, "resolutions with self-attention");
  schema.add("biggan_deep.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
  schema.add("biggan_deep.generator_spectral_norm", generator_spectral_norm,
             "spectral norm on all of G's layers");
  schema.add("biggan_deep.discriminator_spectral_norm", discriminator_spectral_norm,
             "spectral norm on all of D's layers");
  schema.add("biggan_deep.batch_norm_eps", batch_norm_eps, "", {1e-12, 1}, "epsilon in batch norm");
  schema.add("biggan_deep.spectral_norm_eps", spectral_norm_eps, "", {1e-15, 1},
             "least norm in spectral norm");
}

namespace {

class BigGanDeep final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    const Plan plan = plan_of(options_.resolution);
    check_width("generator_channels", options_.generator_channels, 4);
    check_width("discriminator_channels", options_.discriminator_channels, 4);
    for (const std::int64_t resolution : options_.attention) {
      if (resolution >= options_.resolution || (resolution & (resolution - 1)) != 0)
        fail(ExitCode::options,
             "biggan_deep.attention = {}: give powers of two below biggan_deep.resolution = {}", resolution,
             options_.resolution);
      for (std::size_t i = 1; i < plan.generator.size(); ++i)
        if (std::int64_t{4} << i == resolution)
          check_width("attention: G's channels there", plan.generator[i] * options_.generator_channels, 8);
      for (std::size_t i = 1; static_cast<std::int64_t>(i) <= plan.halvings; ++i)
        if (options_.resolution >> i == resolution)
          check_width("attention: D's channels there",
                      plan.discriminator[i] * options_.discriminator_channels, 8);
    }
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<BigGanDeepGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<BigGanDeepDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override {
    return plan_of(options_.resolution).discriminator.back() * options_.discriminator_channels;
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  static void check_width(const char* what, std::int64_t width, std::int64_t unit) {
    if (width % unit != 0)
      fail(ExitCode::options, "biggan_deep.{} = {}: give a multiple of {}", what, width, unit);
  }

  BigGanDeepOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_biggan_deep() {
  return std::make_unique<BigGanDeep>();
}

}  // namespace ganymede
