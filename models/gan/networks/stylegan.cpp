#include "models/gan/networks/stylegan.h"

#include <ATen/ATen.h>

#include <numbers>

#include "models/layers/adaptive_instance_norm.h"
#include "models/layers/bias_activation.h"
#include "models/layers/filter.h"
#include "models/layers/layer_noise.h"

namespace ganymede {
namespace {

/// Of convolutions, whose bias comes after the noise.
constexpr WeightOptions inner{.bias = false, .gain = std::numbers::sqrt2, .equalised = true};
constexpr WeightOptions outer{.gain = 1, .equalised = true};

}  // namespace

/// What is behind each convolution. Parameters "noise_scale", "bias" [C]; buffer "noise" [R, R] is for where none is
/// drawn.
class StyleGanGenerator::StyledMap final : public torch::nn::Module {
 public:
  StyledMap(std::string name, std::int64_t channels, std::int64_t resolution, const StyleGanOptions& options)
      : name_(std::move(name)), kind_(options.noise) {
    noise_scale_ = register_parameter("noise_scale", at::zeros({channels}));
    bias_ = register_parameter("bias", at::zeros({channels}));
    norm_ = register_module("norm", std::make_shared<AdaptiveInstanceNorm>(channels, options.style));
    noise_ = register_buffer("noise", at::zeros({resolution, resolution}));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& w, const ForwardContext& context) {
    const at::ScalarType type = x.scalar_type();
    at::Tensor h = x;
    if (kind_ != "none") {
      const at::Tensor noise = kind_ == "random" ? layer_noise(name_, noise_, h.size(0), context) : noise_;
      h = at::addcmul(h, noise.to(type), noise_scale_.to(type).view({-1, 1, 1}));
    }
    return norm_->forward(bias_activation(h, bias_, {.gain = 1}), w);
  }

 private:
  std::string name_, kind_;
  at::Tensor noise_scale_, bias_, noise_;
  std::shared_ptr<AdaptiveInstanceNorm> norm_;
};

std::shared_ptr<StyleGanGenerator::StyledMap> StyleGanGenerator::add_styled(const std::string& name,
                                                                            std::int64_t resolution) {
  return register_module(
      name, std::make_shared<StyledMap>(name, options_.growing.width(resolution), resolution, options_));
}

StyleGanGenerator::StyleGanGenerator(const StyleGanOptions& options)
    : MappedStyleGenerator(options.mapping(), options.style_average, options.style_mixing),
      options_(options) {
  const ProgressiveOptions& growing = options.growing;
  constant_ = register_parameter("constant", at::ones({growing.width(4), 4, 4}));
  for (std::size_t i = 0; i < growing.levels(); ++i) {
    const std::int64_t resolution = std::int64_t{4} << i, width = growing.width(resolution);
    Level level;
    if (i > 0)
      level.first = register_module(fmt::format("conv{}a", resolution),
                                    std::make_shared<Conv2d>(growing.width(resolution / 2), width, 3, inner));
    level.first_styled = add_styled(fmt::format("styled{}a", resolution), resolution);
    level.second =
        register_module(fmt::format("conv{}b", resolution), std::make_shared<Conv2d>(width, width, 3, inner));
    level.second_styled = add_styled(fmt::format("styled{}b", resolution), resolution);
    level.to_image = register_module(fmt::format("to_image{}", resolution),
                                     std::make_shared<Conv2d>(width, growing.image_channels, 1, outer));
    levels_.push_back(level);
  }
}

at::Tensor StyleGanGenerator::synthesise(const at::Tensor& ws, const ForwardContext& context) {
  const at::ScalarType type = constant_.scalar_type();
  at::Tensor h = constant_.unsqueeze(0).expand({ws.size(0), -1, -1, -1});
  at::Tensor before;  // maps of the last level but one
  std::int64_t layer = 0;
  for (const Level& level : levels_) {
    before = h;
    if (level.first) h = binomial_filtered(level.first->forward_upsampled(h));
    h = level.first_styled->forward(h, ws.select(1, layer++), context);
    // The constant begins the same everywhere: only its least digits, which narrow types lack, tell positions apart.
    if (!level.first) h = context.as_map(h);
    h = level.second_styled->forward(level.second->forward(h), ws.select(1, layer++), context);
  }
  const at::Tensor image = levels_.back().to_image->forward(h).to(type);
  const at::Tensor alpha = options_.growing.fade(context, image);
  if (!alpha.defined()) return image;
  const at::Tensor coarse = levels_[levels_.size() - 2].to_image->forward(before).to(type);
  const std::int64_t size[] = {image.size(2), image.size(3)};
  return at::lerp(at::upsample_nearest2d(coarse, size), image, alpha);
}

void StyleGanOptions::describe(OptionSchema& schema) {
  growing.describe(schema, "stylegan", {"none", "projection", "generator"},
                   "none: labels are not looked at; projection: embedded beside z, one logit a class in D; "
                   "generator: embedded beside z alone");
  schema.add("stylegan.style", style, "", {1, 4096}, "width of w");
  schema.add("stylegan.mapping_layers", mapping_layers, "", {1, 64}, "layers of the mapping network");
  schema.add("stylegan.style_average", style_average, "", {0, 1}, "decay of the mean style");
  schema.add("stylegan.style_mixing", style_mixing, "", {0, 1},
             "probability that an image's later layers follow another style in training");
  schema.add("stylegan.noise", noise, {"random", "fixed", "none"}, "what is added to G's maps");
}

namespace {

class StyleGan final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override { options_.growing.check("stylegan"); }
  void check_batch(std::int64_t micro_batch) const override {
    options_.growing.check_batch("stylegan", micro_batch);
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<StyleGanGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<ProgressiveDiscriminator>(options_.growing);
  }
  /// All layers are equalised, which have their own.
  std::string initialisation() const override { return "n02"; }
  bool equalised() const override { return true; }
  std::int64_t feature_size() const override { return options_.growing.width(2); }
  std::unique_ptr<GanNetworks> grown_to(std::int64_t resolution) const override {
    auto networks = std::make_unique<StyleGan>(*this);
    networks->options_.growing = options_.growing.grown_to("stylegan", resolution);
    return networks;
  }
  GanConditioning conditioning() const override {
    return {options_.growing.condition() > 0, options_.growing.judges_class()};
  }
  std::string setting_for_plain_latent() const override {
    return options_.style_mixing > 0 ? "stylegan.style_mixing = 0" : "";
  }
  bool has_styles() const override { return true; }
  ImageSpec images() const override {
    const ProgressiveOptions& growing = options_.growing;
    return {growing.image_channels, growing.present(), growing.present(), growing.classes};
  }

 private:
  StyleGanOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_stylegan() {
  return std::make_unique<StyleGan>();
}

}  // namespace ganymede
