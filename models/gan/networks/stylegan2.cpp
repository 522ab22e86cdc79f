#include "models/gan/networks/stylegan2.h"

#include <ATen/ATen.h>

#include <bit>
#include <numbers>

#include "core/error.h"
#include "models/layers/bias_activation.h"
#include "models/layers/filter.h"
#include "models/layers/layer_noise.h"
#include "models/layers/minibatch_deviation.h"

namespace ganymede {
namespace {

constexpr WeightOptions equalised{.equalised = true};
constexpr WeightOptions without_bias{.bias = false, .equalised = true};

/// A map that is learned itself: [C, 4, 4], begins as N(0, 1).
class Constant final : public Weighted {
 public:
  explicit Constant(std::int64_t channels) : Weighted({channels, 4, 4}, without_bias) {}
};

}  // namespace

std::size_t StyleGan2Options::levels() const {
  return static_cast<std::size_t>(std::countr_zero(static_cast<std::uint64_t>(resolution))) - 1;
}

/// A modulated convolution, the noise, the activation. Buffer "noise" [R, R] is for where none is drawn.
class StyleGan2Generator::StyledConv final : public ModulatedConv2d {
 public:
  StyledConv(const ModulatedConvOptions& conv, std::string name, std::int64_t resolution,
             const StyleGan2Options& options)
      : ModulatedConv2d(conv), name_(std::move(name)), kind_(options.noise) {
    activation_.bound = options.clamp;
    strength_ = register_parameter("noise_strength", at::zeros({}));
    noise_ = register_buffer("noise", at::zeros({resolution, resolution}));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& w, const ForwardContext& context) {
    at::Tensor h = ModulatedConv2d::forward(x, w);
    if (kind_ != "none") {
      const at::Tensor noise = kind_ == "random" ? layer_noise(name_, noise_, h.size(0), context) : noise_;
      h = h + (noise * strength_).to(h.scalar_type());
    }
    return bias_activation(h, effective_bias(h.scalar_type()), activation_);
  }

 private:
  std::string name_, kind_;
  BiasActivation activation_;
  at::Tensor strength_, noise_;
};

StyleGan2Generator::StyleGan2Generator(const StyleGan2Options& options)
    : MappedStyleGenerator(options.mapping(), options.style_average, options.style_mixing),
      options_(options) {
  constant_ = register_module("constant", std::make_shared<Constant>(options.width(4)));
  for (std::size_t i = 0; i < options.levels(); ++i) {
    const std::int64_t resolution = std::int64_t{4} << i, width = options.width(resolution);
    const auto styled = [&](const std::string& name, std::int64_t in, bool upsample) {
      const ModulatedConvOptions conv{.in = in, .out = width, .style = options.style, .upsample = upsample};
      return register_module(name, std::make_shared<StyledConv>(conv, name, resolution, options));
    };
    Level level;
    if (i > 0) level.first = styled(fmt::format("conv{}a", resolution), options.width(resolution / 2), true);
    level.second = styled(fmt::format("conv{}b", resolution), width, false);
    level.to_image =
        register_module(fmt::format("to_image{}", resolution),
                        std::make_shared<ModulatedConv2d>(ModulatedConvOptions{.in = width,
                                                                               .out = options.image_channels,
                                                                               .kernel = 1,
                                                                               .style = options.style,
                                                                               .demodulate = false}));
    levels_.push_back(level);
  }
}

at::Tensor StyleGan2Generator::synthesise(const at::Tensor& ws, const ForwardContext& context) {
  const at::Tensor& constant = constant_->weight();
  at::Tensor h = context.as_map(constant.unsqueeze(0).expand({ws.size(0), -1, -1, -1}));
  at::Tensor image;
  std::int64_t layer = 0;
  for (const Level& level : levels_) {
    if (level.first) h = level.first->forward(h, ws.select(1, layer++), context);
    h = level.second->forward(h, ws.select(1, layer++), context);
    // The next resolution's first convolution follows the same w.
    at::Tensor added = level.to_image->forward(h, ws.select(1, layer));
    added = added + level.to_image->bias().to(added.scalar_type()).view({-1, 1, 1});
    if (options_.clamp > 0) added = added.clamp(-options_.clamp, options_.clamp);
    added = added.to(constant.scalar_type());
    image = image.defined() ? filtered_up(image) + added : added;
  }
  return image;
}

StyleGan2Discriminator::StyleGan2Discriminator(const StyleGan2Options& options) : options_(options) {
  from_image_ = register_module(
      "from_image",
      std::make_shared<Conv2d>(options.image_channels, options.width(options.resolution), 1, equalised));
  for (std::int64_t resolution = options.resolution; resolution > 4; resolution /= 2) {
    const std::int64_t in = options.width(resolution), out = options.width(resolution / 2);
    Level level;
    level.first =
        register_module(fmt::format("conv{}a", resolution), std::make_shared<Conv2d>(in, in, 3, equalised));
    level.second = register_module(fmt::format("conv{}b", resolution),
                                   std::make_shared<FilteredConv2d>(in, out, equalised));
    if (options.discriminator == "residual")
      level.shortcut = register_module(fmt::format("shortcut{}", resolution),
                                       std::make_shared<Conv2d>(in, out, 1, without_bias));
    levels_.push_back(level);
  }
  const std::int64_t last = options.width(4);
  conv4_ = register_module("conv4", std::make_shared<Conv2d>(last + 1, last, 3, equalised));
  dense_ = register_module("dense", std::make_shared<Linear>(last * 16, last, equalised));
  if (options.condition() > 0)
    mapping_ =
        register_module("mapping", std::make_shared<StyleMapping>(StyleMappingOptions{
                                       .latent = 0, .classes = options.classes, .style = options.style}));
  linear_ =
      register_module("linear", std::make_shared<Linear>(last, mapping_ ? options.style : 1, equalised));
}

at::Tensor StyleGan2Discriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                           const ForwardContext& context) {
  const BiasActivation act{.bound = options_.clamp};
  BiasActivation halved = act;  // of one of two branches that add up
  halved.gain *= std::numbers::sqrt2 / 2;
  halved.bound *= std::numbers::sqrt2 / 2;
  at::Tensor h = bias_activation(from_image_->forward(context.as_map(x)), {}, act);
  for (const Level& level : levels_) {
    const at::Tensor inner = bias_activation(level.first->forward(h), {}, act);
    const at::Tensor smaller = level.second->forward(inner);
    if (level.shortcut)
      h = bias_activation(smaller, {}, halved) +
          level.shortcut->forward(filtered_down(h)) * (std::numbers::sqrt2 / 2);
    else
      h = bias_activation(smaller, {}, act);
  }
  h = conv4_->forward(append_minibatch_deviation(h, options_.deviation_group, context));
  h = bias_activation(h, {}, act).to(linear_->weight().scalar_type()).contiguous().flatten(1);
  h = bias_activation(dense_->forward(h), {}, {});
  context.keep_features(h);
  const at::Tensor features = linear_->forward(h);
  if (!mapping_) return features.squeeze(1);
  const at::Tensor mapped = mapping_->forward({}, labels);
  return (features * mapped).sum(1) / std::sqrt(static_cast<double>(options_.style));
}

std::vector<Exchange> StyleGan2Discriminator::exchanges(const GroupLayout& layout, int ranks) const {
  return deviation_exchanges(options_.width(4) * 16, options_.deviation_group, layout, ranks);
}

void StyleGan2Options::describe(OptionSchema& schema) {
  schema.add("stylegan2.resolution", resolution, "pixels", {8, 2048}, "width and height: a power of two");
  schema.add("stylegan2.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("stylegan2.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("stylegan2.conditioning", conditioning, {"none", "projection"},
             "none: labels are not looked at; projection: embedded beside z, and projected on in D");
  schema.add("stylegan2.channel_base", channel_base, "", {1, 1 << 20},
             "maps of R x R have channel_base / R channels, at most most_channels");
  schema.add("stylegan2.most_channels", most_channels, "", {1, 4096}, "most channels of a map");
  schema.add("stylegan2.latent", latent, "", {1, 4096}, "width of z");
  schema.add("stylegan2.style", style, "", {1, 4096}, "width of w");
  schema.add("stylegan2.mapping_layers", mapping_layers, "", {1, 64}, "layers of G's mapping network");
  schema.add("stylegan2.style_average", style_average, "", {0, 1}, "decay of the mean style");
  schema.add("stylegan2.style_mixing", style_mixing, "", {0, 1},
             "probability that an image's later layers follow another style in training");
  schema.add("stylegan2.noise", noise, {"random", "fixed", "none"}, "what is added to G's maps");
  schema.add("stylegan2.discriminator", discriminator, {"residual", "plain"}, "D with shortcuts or without");
  schema.add("stylegan2.deviation_group", deviation_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share a standard deviation, 0 for all");
  schema.add("stylegan2.clamp", clamp, "", {0, 1e6}, "bound of all maps, 0 for none");
}

namespace {

class StyleGan2 final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    if (!std::has_single_bit(static_cast<std::uint64_t>(options_.resolution)))
      fail(ExitCode::options, "stylegan2.resolution = {}: give a power of two", options_.resolution);
    if (options_.width(options_.resolution) < 1)
      fail(ExitCode::options, "stylegan2.channel_base = {} leaves no channels at {} pixels: give at least {}",
           options_.channel_base, options_.resolution, options_.resolution);
  }
  void check_batch(std::int64_t micro_batch) const override {
    if (options_.deviation_group > 0 && micro_batch % options_.deviation_group != 0)
      fail(ExitCode::options,
           "stylegan2.deviation_group = {} does not divide the micro-batch of {} images: give one of its divisors, or 0",
           options_.deviation_group, micro_batch);
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<StyleGan2Generator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<StyleGan2Discriminator>(options_);
  }
  /// All layers are equalised, which have their own.
  std::string initialisation() const override { return "n02"; }
  bool equalised() const override { return true; }
  std::int64_t feature_size() const override { return options_.width(4); }
  GanConditioning conditioning() const override {
    return {options_.condition() > 0, options_.condition() > 0};
  }
  std::string setting_for_plain_latent() const override {
    return options_.style_mixing > 0 ? "stylegan2.style_mixing = 0" : "";
  }
  bool has_styles() const override { return true; }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  StyleGan2Options options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_stylegan2() {
  return std::make_unique<StyleGan2>();
}

}  // namespace ganymede
