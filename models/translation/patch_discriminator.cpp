#include "models/translation/patch_discriminator.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {

void PatchDiscriminatorOptions::describe(OptionSchema& schema, const std::string& section) {
  schema.add(section + ".discriminator_channels", width, "", {1, 4096},
             "channels of D's first map; each further one has twice as many, up to eight times");
  schema.add(section + ".patch_layers", layers, "", {0, 8},
             "D's convolutions of stride 2: 1 judges patches of 16x16, 3 of 70x70, 5 of 286x286, 0 pixels");
}

void PatchDiscriminatorOptions::check(const std::string& section, std::int64_t height,
                                      std::int64_t width_of_images) const {
  if (layers > 0 && std::min(height, width_of_images) >> layers < 3)
    fail(ExitCode::options,
         "{0}.patch_layers = {1} leaves images of {2}x{3} pixels no patch: lower it, or raise {0}.height and "
         "{0}.width to at least {4}",
         section, layers, height, width_of_images, std::int64_t{3} << layers);
}

PatchDiscriminator::PatchDiscriminator(const PatchDiscriminatorOptions& options)
    : padding_(options.layers > 0 ? 1 : 0) {
  const std::int64_t kernel = options.layers > 0 ? 4 : 1;
  std::int64_t in = options.channels;
  const auto add = [&](std::int64_t out, std::int64_t stride, bool normalised) {
    const std::size_t i = layers_.size();
    const WeightOptions weights{.bias = !normalised || options.norm == "instance"};
    Layer layer{register_module(fmt::format("conv{}", i), std::make_shared<Conv2d>(in, out, kernel, weights)),
                stride};
    if (normalised) layer.norm = MapNorm::add(*this, fmt::format("norm{}", i), options.norm, out);
    layers_.push_back(std::move(layer));
    in = out;
  };
  const auto widened = [&](std::int64_t i) { return options.width << std::min<std::int64_t>(i, 3); };
  add(options.width, options.layers > 0 ? 2 : 1, false);
  for (std::int64_t i = 1; i < options.layers; ++i) add(widened(i), 2, true);
  add(widened(std::max<std::int64_t>(options.layers, 1)), 1, true);
  add(1, 1, false);
}

at::Tensor PatchDiscriminator::forward(const at::Tensor& x, const ForwardContext& context) {
  at::Tensor h = context.as_map(x);
  for (const Layer& layer : layers_) {
    h = layer.conv->forward_strided(h, layer.stride, padding_);
    if (layer.norm) h = layer.norm->forward(h, context);
    if (&layer != &layers_.back()) h = at::leaky_relu(h, 0.2);
  }
  return h.to(x.scalar_type());
}

}  // namespace ganymede
