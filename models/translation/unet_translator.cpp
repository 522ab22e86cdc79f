#include "models/translation/unet_translator.h"

#include <ATen/ATen.h>

namespace ganymede {

std::int64_t UnetTranslatorOptions::width(std::int64_t halvings) const {
  return channels << std::min<std::int64_t>(halvings - 1, 3);
}

UnetTranslator::UnetTranslator(const UnetTranslatorOptions& options) {
  const WeightOptions weights{.bias = options.norm == "instance"};
  for (std::int64_t i = 1; i <= options.depth; ++i) {
    const std::int64_t in = i == 1 ? options.source_channels : options.width(i - 1);
    Down down{register_module(fmt::format("down{}", i),
                              std::make_shared<StridedConv2d>(in, options.width(i), 4, weights)),
              std::nullopt};
    if (i > 1 && i < options.depth)
      down.norm = MapNorm::add(*this, fmt::format("down_norm{}", i), options.norm, options.width(i));
    downs_.push_back(std::move(down));
  }
  for (std::int64_t i = 1; i <= options.depth; ++i) ups_.push_back(make_up(options, i));
}

UnetTranslator::Up UnetTranslator::make_up(const UnetTranslatorOptions& options, std::int64_t i) {
  const std::int64_t in = i == options.depth ? options.width(i) : 2 * options.width(i);
  const std::int64_t out = i == 1 ? options.image_channels : options.width(i - 1);
  const WeightOptions weights{.bias = i == 1 || options.norm == "instance"};
  const std::string name = fmt::format("up{}", i);
  Up up{register_module(name, std::make_shared<TransposedConv2d>(in, out, 4, weights)), std::nullopt,
        std::nullopt};
  if (i == 1) return up;
  up.norm = MapNorm::add(*this, fmt::format("up_norm{}", i), options.norm, out);
  if (i > options.depth - options.dropout_blocks) up.dropout.emplace(options.dropout, name);
  return up;
}

at::Tensor UnetTranslator::forward(const at::Tensor& x, const ForwardContext& context) {
  const std::optional<LayerDraws> draws =
      context.noise ? std::optional(LayerDraws{context.noise->key, context.noise->first}) : std::nullopt;
  std::vector<at::Tensor> maps;
  at::Tensor h = context.as_map(x);
  for (const Down& down : downs_) {
    h = down.conv->forward(maps.empty() ? h : at::leaky_relu(h, 0.2));
    if (down.norm) h = down.norm->forward(h, context);
    maps.push_back(h);
  }
  for (std::size_t i = ups_.size(); i-- > 0;) {
    const Up& up = ups_[i];
    h = up.conv->forward(at::relu(i + 1 == ups_.size() ? h : at::cat({maps[i], h}, 1)));
    if (up.norm) h = up.norm->forward(h, context);
    if (up.dropout) h = up.dropout->forward(h, draws ? &*draws : nullptr);
  }
  return at::tanh(h.to(x.scalar_type()));
}

}  // namespace ganymede
