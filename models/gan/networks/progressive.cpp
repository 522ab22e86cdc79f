#include "models/gan/networks/progressive.h"

#include <ATen/ATen.h>

#include <bit>
#include <numbers>

#include "core/error.h"
#include "models/layers/bias_activation.h"
#include "models/layers/filter.h"
#include "models/layers/minibatch_deviation.h"
#include "models/layers/pixel_norm.h"

namespace ganymede {
namespace {

/// Of layers with a leaky ReLU behind them.
constexpr WeightOptions hidden{.gain = std::numbers::sqrt2, .equalised = true};
constexpr WeightOptions outer{.gain = 1, .equalised = true};

constexpr double slope = 0.2;

at::Tensor activate(const at::Tensor& x) {
  return bias_activation(x, {}, {.slope = slope, .gain = 1});
}

at::Tensor normalised(const at::Tensor& x) {
  return activated_pixel_norm(x, slope);
}

}  // namespace

std::size_t ProgressiveOptions::levels() const {
  return static_cast<std::size_t>(std::countr_zero(static_cast<std::uint64_t>(present()))) - 1;
}

at::Tensor ProgressiveOptions::fade(const ForwardContext& context, const at::Tensor& like) const {
  if (present() == 4) return {};
  if (context.fade.defined()) return context.fade.to(like.options());
  return alpha < 1 ? at::full({}, alpha, like.options()) : at::Tensor();
}

/// Linear to [N, C, 4, 4], with one bias a channel.
class ProgressiveGenerator::FirstMap final : public Weighted {
 public:
  FirstMap(std::int64_t in, std::int64_t channels)
      : Weighted({channels * 16, in}, {.bias = false, .gain = std::numbers::sqrt2 / 4, .equalised = true}) {
    bias_ = register_parameter("bias", at::zeros({channels}));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor map = at::linear(x, effective_weight(x.scalar_type())).view({x.size(0), -1, 4, 4});
    return map + bias_.view({-1, 1, 1});
  }

 private:
  at::Tensor bias_;
};

ProgressiveGenerator::ProgressiveGenerator(const ProgressiveOptions& options) : options_(options) {
  const std::int64_t first = options.width(4);
  dense_ = register_module("dense", std::make_shared<FirstMap>(options.latent + options.condition(), first));
  conv4_ = register_module("conv4", std::make_shared<Conv2d>(first, first, 3, hidden));
  for (std::size_t i = 0; i < options.levels(); ++i) {
    const std::int64_t resolution = std::int64_t{4} << i, width = options.width(resolution);
    Level level;
    if (i > 0) {
      level.first =
          register_module(fmt::format("conv{}a", resolution),
                          std::make_shared<Conv2d>(options.width(resolution / 2), width, 3, hidden));
      level.second = register_module(fmt::format("conv{}b", resolution),
                                     std::make_shared<Conv2d>(width, width, 3, hidden));
    }
    level.to_image = register_module(fmt::format("to_image{}", resolution),
                                     std::make_shared<Conv2d>(width, options.image_channels, 1, outer));
    levels_.push_back(level);
  }
}

at::Tensor ProgressiveGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                         const ForwardContext& context) {
  at::Tensor latent = z;
  if (options_.condition() > 0)
    latent = at::cat({z, at::one_hot(labels, options_.classes).to(z.scalar_type())}, 1);
  at::Tensor h = normalised(context.as_map(dense_->forward(pixel_norm(latent))));
  h = normalised(conv4_->forward(h));
  at::Tensor before;  // maps of the last level but one
  for (std::size_t i = 1; i < levels_.size(); ++i) {
    before = h;
    h = normalised(levels_[i].first->forward_upsampled(h));
    h = normalised(levels_[i].second->forward(h));
  }
  const at::Tensor image = levels_.back().to_image->forward(h).to(z.scalar_type());
  const at::Tensor alpha = options_.fade(context, image);
  if (!alpha.defined()) return image;
  const at::Tensor coarse = levels_[levels_.size() - 2].to_image->forward(before).to(z.scalar_type());
  const std::int64_t size[] = {image.size(2), image.size(3)};
  return at::lerp(at::upsample_nearest2d(coarse, size), image, alpha);
}

ProgressiveDiscriminator::ProgressiveDiscriminator(const ProgressiveOptions& options) : options_(options) {
  for (std::size_t i = 0; i < options.levels(); ++i) {
    const std::int64_t resolution = std::int64_t{4} << i, width = options.width(resolution);
    Level level;
    level.from_image = register_module(fmt::format("from_image{}", resolution),
                                       std::make_shared<Conv2d>(options.image_channels, width, 1, hidden));
    if (i > 0) {
      level.first = register_module(fmt::format("conv{}a", resolution),
                                    std::make_shared<Conv2d>(width, width, 3, hidden));
      level.second =
          register_module(fmt::format("conv{}b", resolution),
                          std::make_shared<Conv2d>(width, options.width(resolution / 2), 3, hidden));
    }
    levels_.push_back(level);
  }
  const std::int64_t last = options.width(4), dense = options.width(2);
  conv4_ = register_module("conv4", std::make_shared<Conv2d>(last + 1, last, 3, hidden));
  dense_ = register_module("dense", std::make_shared<Linear>(last * 16, dense, hidden));
  linear_ = register_module("linear", std::make_shared<Linear>(dense, options.outputs(), outer));
}

at::Tensor ProgressiveDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                             const ForwardContext& context) {
  const at::Tensor image = context.as_map(x);
  at::Tensor h = activate(levels_.back().from_image->forward(image));
  for (std::size_t i = levels_.size() - 1; i > 0; --i) {
    h = activate(levels_[i].first->forward(h));
    h = options_.filtered ? activate(levels_[i].second->forward_pooled(binomial_filtered(h)))
                          : at::avg_pool2d(activate(levels_[i].second->forward(h)), 2);
    if (i + 1 < levels_.size()) continue;
    if (const at::Tensor alpha = options_.fade(context, h); alpha.defined())
      h = at::lerp(activate(levels_[i - 1].from_image->forward(at::avg_pool2d(image, 2))), h, alpha);
  }
  h = activate(conv4_->forward(append_minibatch_deviation(h, options_.deviation_group, context)));
  h = activate(dense_->forward(h.to(linear_->weight().scalar_type()).contiguous().flatten(1)));
  context.keep_features(h);
  const at::Tensor logits = linear_->forward(h);  // [N, 1] or [N, classes]
  if (!options_.judges_class()) return logits.squeeze(1);
  return logits.gather(1, labels.unsqueeze(1)).squeeze(1);
}

std::vector<Exchange> ProgressiveDiscriminator::exchanges(const GroupLayout& layout, int ranks) const {
  return deviation_exchanges(options_.width(4) * 16, options_.deviation_group, layout, ranks);
}

void ProgressiveOptions::describe(OptionSchema& schema, const std::string& section,
                                  const std::vector<std::string>& conditionings,
                                  const std::string& conditioning_help) {
  const std::string s = section + ".";
  schema.add(s + "resolution", resolution, "pixels", {4, 2048},
             "width and height when fully grown: a power of two");
  schema.add(s + "stage", stage, "pixels", {0, 2048}, "width and height grown to; 0 = fully grown");
  schema.add(s + "alpha", alpha, "", {0, 1}, "how far the last resolution is faded in");
  schema.add(s + "image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add(s + "classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add(s + "conditioning", conditioning, conditionings, conditioning_help);
  schema.add(s + "channel_base", channel_base, "", {1, 1 << 20},
             "maps of R x R have channel_base / (R / 2) channels, at most most_channels");
  schema.add(s + "most_channels", most_channels, "", {1, 4096}, "most channels of a map");
  schema.add(s + "latent", latent, "", {1, 4096}, "width of z");
  schema.add(s + "deviation_group", deviation_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share a standard deviation, 0 for all");
}

void ProgressiveOptions::check(const std::string& section) const {
  for (const auto& [name, size] : {std::pair{"resolution", resolution}, {"stage", present()}})
    if (!std::has_single_bit(static_cast<std::uint64_t>(size)) || size < 4)
      fail(ExitCode::options, "{}.{} = {}: give a power of two from 4 on", section, name, size);
  if (stage > resolution)
    fail(ExitCode::options, "{0}.stage = {1} is larger than {0}.resolution = {2}: lower it, or set it to 0", section,
         stage, resolution);
  if (width(resolution) < 1)
    fail(ExitCode::options, "{}.channel_base = {} leaves no channels at {} pixels: give at least {}", section,
         channel_base, resolution, resolution / 2);
}

void ProgressiveOptions::check_batch(const std::string& section, std::int64_t micro_batch) const {
  if (deviation_group > 0 && micro_batch % deviation_group != 0)
    fail(ExitCode::options,
         "{}.deviation_group = {} does not divide the micro-batch of {} images: give one of its divisors, or 0", section,
         deviation_group, micro_batch);
}

ProgressiveOptions ProgressiveOptions::grown_to(const std::string& section, std::int64_t at) const {
  if (alpha < 1)
    fail(ExitCode::options, "{}.alpha = {} is for networks at one stage: leave it where growth.from is set",
         section, alpha);
  ProgressiveOptions options = *this;
  options.stage = at;
  return options;
}

namespace {

class Progressive final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override {
    options_.describe(
        schema, "progressive", {"none", "concatenation", "generator"},
        "none: labels are not looked at; concatenation: one-hot beside z, one logit a class in D; generator: "
        "one-hot beside z alone");
  }
  void check() const override { options_.check("progressive"); }
  void check_batch(std::int64_t micro_batch) const override {
    options_.check_batch("progressive", micro_batch);
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<ProgressiveGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<ProgressiveDiscriminator>(options_);
  }
  /// All layers are equalised, which have their own.
  std::string initialisation() const override { return "n02"; }
  bool equalised() const override { return true; }
  std::int64_t feature_size() const override { return options_.width(2); }
  std::unique_ptr<GanNetworks> grown_to(std::int64_t resolution) const override {
    auto networks = std::make_unique<Progressive>(*this);
    networks->options_ = options_.grown_to("progressive", resolution);
    return networks;
  }
  GanConditioning conditioning() const override {
    return {options_.condition() > 0, options_.judges_class()};
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.present(), options_.present(), options_.classes};
  }

 private:
  ProgressiveOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_progressive() {
  return std::make_unique<Progressive>();
}

}  // namespace ganymede
