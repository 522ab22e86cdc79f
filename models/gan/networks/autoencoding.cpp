#include "models/gan/networks/autoencoding.h"

#include <ATen/ATen.h>

#include <bit>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::int64_t smallest = 8;
const WeightOptions plain{};

}  // namespace

void AutoencodingOptions::describe(OptionSchema& schema) {
  schema.add("autoencoding.resolution", resolution, "pixels", {8, 1024}, "width and height: a power of two");
  schema.add("autoencoding.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("autoencoding.channels", channels, "", {1, 4096}, "n, the unit of the widths");
  schema.add("autoencoding.latent", latent, "", {1, 4096}, "width of z and of the code");
  schema.add("autoencoding.error", error, {"l1", "l2"},
             "an image's error: the mean of |x - D(x)| or of its square");
  schema.add("autoencoding.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
}

std::int64_t AutoencodingOptions::levels() const {
  return std::countr_zero(static_cast<std::uint64_t>(resolution / smallest)) + 1;
}

Decoder::Decoder(const AutoencodingOptions& options) : channels_(options.channels) {
  linear_ = register_module("linear",
                            std::make_shared<Linear>(options.latent, channels_ * smallest * smallest, plain));
  for (std::int64_t i = 0; i < 2 * options.levels(); ++i)
    convolutions_.push_back(
        register_module(fmt::format("conv{}", i), std::make_shared<Conv2d>(channels_, channels_, 3, plain)));
  to_image_ =
      register_module("to_image", std::make_shared<Conv2d>(channels_, options.image_channels, 3, plain));
}

at::Tensor Decoder::forward(const at::Tensor& code, const ForwardContext& context) {
  at::Tensor h = context.as_map(linear_->forward(code).view({code.size(0), channels_, smallest, smallest}));
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    const bool grows = i > 0 && i % 2 == 0;
    h = at::elu(grows ? convolutions_[i]->forward_upsampled(h) : convolutions_[i]->forward(h));
  }
  return to_image_->forward(h).to(code.scalar_type());
}

Encoder::Encoder(const AutoencodingOptions& options) {
  const std::int64_t n = options.channels, levels = options.levels();
  from_image_ = register_module("from_image", std::make_shared<Conv2d>(options.image_channels, n, 3, plain));
  for (std::int64_t i = 0; i < 2 * levels; ++i) {
    const std::int64_t in = (i / 2 + 1) * n, out = i % 2 == 0 ? in : std::min(i / 2 + 2, levels) * n;
    convolutions_.push_back(
        register_module(fmt::format("conv{}", i), std::make_shared<Conv2d>(in, out, 3, plain)));
  }
  linear_ = register_module(
      "linear", std::make_shared<Linear>(levels * n * smallest * smallest, options.latent, plain));
}

at::Tensor Encoder::forward(const at::Tensor& x, const ForwardContext& context) {
  at::Tensor h = at::elu(from_image_->forward(context.as_map(x)));
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    const bool shrinks = i % 2 == 1 && i + 1 < convolutions_.size();
    h = at::elu(shrinks ? convolutions_[i]->forward_pooled(h) : convolutions_[i]->forward(h));
  }
  return linear_->forward(h.flatten(1).to(x.scalar_type()));
}

namespace {

class DecodingGenerator final : public Generator {
 public:
  explicit DecodingGenerator(const AutoencodingOptions& options) : latent_(options.latent) {
    decoder_ = register_module("decoder", std::make_shared<Decoder>(options));
  }
  at::Tensor forward(const at::Tensor& z, const at::Tensor&, const ForwardContext& context) override {
    return decoder_->forward(z, context);
  }
  std::int64_t latent_size() const override { return latent_; }

 private:
  std::int64_t latent_;
  std::shared_ptr<Decoder> decoder_;
};

class AutoencodingDiscriminator final : public Discriminator {
 public:
  explicit AutoencodingDiscriminator(const AutoencodingOptions& options) : squares_(options.error == "l2") {
    encoder_ = register_module("encoder", std::make_shared<Encoder>(options));
    decoder_ = register_module("decoder", std::make_shared<Decoder>(options));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const ForwardContext& context) override {
    const at::Tensor code = encoder_->forward(x, context);
    context.keep_features(code);
    const at::Tensor off = x - decoder_->forward(code, context);
    return -(squares_ ? off.square() : off.abs()).flatten(1).mean(1);
  }

 private:
  bool squares_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Decoder> decoder_;
};

class Autoencoding final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    if (!std::has_single_bit(static_cast<std::uint64_t>(options_.resolution)))
      fail(ExitCode::options, "autoencoding.resolution = {} is not a power of two: give 8, 16, 32, ...",
           options_.resolution);
  }
  std::shared_ptr<Generator> generator() const override {
    return std::make_shared<DecodingGenerator>(options_);
  }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<AutoencodingDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override { return options_.latent; }
  bool autoencodes() const override { return true; }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, 1};
  }

 private:
  AutoencodingOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_autoencoding() {
  return std::make_unique<Autoencoding>();
}

}  // namespace ganymede
