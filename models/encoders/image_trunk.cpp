#include "models/encoders/image_trunk.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr double slope = 0.2;

/// Whether a convolution of stride 2 is still to come.
bool halves(std::int64_t height, std::int64_t width) {
  return height % 2 == 0 && width % 2 == 0 && std::min(height, width) >= 8;
}

}  // namespace

void EncoderNetworkOptions::describe(OptionSchema& schema) {
  schema.add("encoders.network", network, {"convolutional", "fully_connected"},
             "what looks at images in the encoder, and in a discriminator of images and latents");
  schema.add("encoders.channels", channels, "", {1, 4096},
             "channels of the first convolution; each further one has twice as many");
  schema.add("encoders.kernel", kernel, "pixels", {4, 5}, "kernel of the convolutions");
  schema.add("encoders.widths", widths, "", {1, 1 << 16}, "widths of the fully connected layers");
  schema.add("encoders.latent_widths", latent_widths, "", {1, 1 << 16},
             "widths of a discriminator's layers that look at latents");
  schema.add("encoders.joint_widths", joint_widths, "", {1, 1 << 16},
             "widths of a discriminator's layers that look at images and latents");
}

void EncoderNetworkOptions::check(const ImageSpec& images) const {
  if (network == "convolutional" && !halves(images.height, images.width))
    fail(ExitCode::options,
         "encoders.network = convolutional halves images, and those of {} x {} pixels cannot be: both must "
         "be even "
         "and at least 8, else set encoders.network = fully_connected",
         images.height, images.width);
  if (network == "fully_connected" && widths.empty())
    fail(ExitCode::options, "encoders.widths is empty: give at least one width");
  if (joint_widths.empty())
    fail(ExitCode::options, "encoders.joint_widths is empty: give at least one width");
  if (latent_widths.empty())
    fail(ExitCode::options, "encoders.latent_widths is empty: give at least one width");
}

ImageTrunk::ImageTrunk(const EncoderNetworkOptions& options, const ImageSpec& images) {
  std::int64_t height = images.height, width = images.width, in = images.channels;
  if (options.network == "convolutional") {
    for (std::int64_t i = 0; halves(height, width); ++i, height /= 2, width /= 2) {
      const std::int64_t out = options.channels << i;
      // A bias in front of a batch norm does nothing.
      convs_.push_back(register_module(
          fmt::format("conv{}", i),
          std::make_shared<StridedConv2d>(in, out, options.kernel, WeightOptions{.bias = i == 0})));
      norms_.push_back(i == 0 ? nullptr
                              : register_module(fmt::format("norm{}", i),
                                                std::make_shared<AffineBatchNorm>(out, BatchNormOptions{})));
      in = out;
    }
    features_ = in * height * width;
    return;
  }
  features_ = in * height * width;
  for (const std::int64_t out : options.widths) {
    linears_.push_back(register_module(fmt::format("linear{}", linears_.size()),
                                       std::make_shared<Linear>(features_, out, WeightOptions{})));
    features_ = out;
  }
}

at::Tensor ImageTrunk::forward(const at::Tensor& x, const ForwardContext& context) {
  at::Tensor h =
      convs_.empty() ? x.flatten(1).to(context.activations.value_or(x.scalar_type())) : context.as_map(x);
  for (std::size_t i = 0; i < convs_.size(); ++i) {
    h = convs_[i]->forward(h);
    if (norms_[i]) h = norms_[i]->forward(h, context);
    h = at::leaky_relu(h, slope);
  }
  for (const auto& linear : linears_) h = at::leaky_relu(linear->forward(h), slope);
  const auto& first = convs_.empty() ? linears_.front()->weight() : convs_.front()->weight();
  return h.to(first.scalar_type()).contiguous().flatten(1);
}

LeakyLayers::LeakyLayers(std::int64_t in, const std::vector<std::int64_t>& widths) : out_(in) {
  for (const std::int64_t width : widths) {
    layers_.push_back(register_module(fmt::format("linear{}", layers_.size()),
                                      std::make_shared<Linear>(out_, width, WeightOptions{})));
    out_ = width;
  }
}

at::Tensor LeakyLayers::forward(const at::Tensor& x) {
  at::Tensor h = x;
  for (const auto& layer : layers_) h = at::leaky_relu(layer->forward(h), slope);
  return h;
}

}  // namespace ganymede
