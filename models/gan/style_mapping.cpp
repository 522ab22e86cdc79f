#include "models/gan/style_mapping.h"

#include <ATen/ATen.h>

#include "models/layers/bias_activation.h"
#include "models/layers/pixel_norm.h"

namespace ganymede {

StyleMapping::StyleMapping(const StyleMappingOptions& options) : options_(options) {
  std::int64_t in = options.latent;
  if (options.classes > 0) {
    embed_ = register_module(
        "embed", std::make_shared<Linear>(options.classes, options.style, WeightOptions{.equalised = true}));
    in += options.style;
  }
  for (std::int64_t i = 0; i < options.layers; ++i, in = options.style)
    layers_.push_back(register_module(
        fmt::format("linear{}", i),
        std::make_shared<Linear>(in, options.style, WeightOptions{.equalised = true, .rate = 0.01})));
}

at::Tensor StyleMapping::forward(const at::Tensor& z, const at::Tensor& labels) {
  std::vector<at::Tensor> parts;
  if (options_.latent > 0) parts.push_back(pixel_norm(z));
  if (embed_) {
    const at::Tensor label = at::one_hot(labels, options_.classes).to(embed_->weight().scalar_type());
    parts.push_back(pixel_norm(embed_->forward(label)));
  }
  at::Tensor h = parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  for (const auto& layer : layers_) h = bias_activation(layer->forward(h), {}, {});
  return h;
}

}  // namespace ganymede
