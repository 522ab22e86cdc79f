#include "models/translation/resnet_translator.h"

#include <ATen/ATen.h>

#include "models/layers/instance_norm.h"

namespace ganymede {
namespace {

at::Tensor reflected(const at::Tensor& x, std::int64_t by) {
  return at::reflection_pad2d(x, {by, by, by, by});
}

at::Tensor activated(const at::Tensor& x) {
  return instance_norm(x, Activation::relu);
}

}  // namespace

ReflectedBlock::ReflectedBlock(std::int64_t channels)
    : conv1_(register_module("conv1", std::make_shared<Conv2d>(channels, channels, 3, WeightOptions{}))),
      conv2_(register_module("conv2", std::make_shared<Conv2d>(channels, channels, 3, WeightOptions{}))) {}

at::Tensor ReflectedBlock::forward(const at::Tensor& x) {
  const at::Tensor h = activated(conv1_->forward_strided(reflected(x, 1), 1, 0));
  return x + instance_norm(conv2_->forward_strided(reflected(h, 1), 1, 0));
}

ResnetTranslator::ResnetTranslator(const ResnetTranslatorOptions& options) {
  const std::int64_t width = options.channels;
  const WeightOptions weights;
  first_ = register_module("first", std::make_shared<Conv2d>(options.source_channels, width, 7, weights));
  down1_ = register_module("down1", std::make_shared<StridedConv2d>(width, 2 * width, 3, weights));
  down2_ = register_module("down2", std::make_shared<StridedConv2d>(2 * width, 4 * width, 3, weights));
  blocks_ = register_module("blocks", std::make_shared<ModuleList<ReflectedBlock>>());
  for (std::int64_t i = 0; i < options.blocks; ++i) blocks_->add(std::make_shared<ReflectedBlock>(4 * width));
  up2_ = register_module("up2", std::make_shared<TransposedConv2d>(4 * width, 2 * width, 3, weights));
  up1_ = register_module("up1", std::make_shared<TransposedConv2d>(2 * width, width, 3, weights));
  last_ = register_module("last", std::make_shared<Conv2d>(width, options.image_channels, 7, weights));
}

at::Tensor ResnetTranslator::forward(const at::Tensor& x, const ForwardContext& context) {
  at::Tensor h = activated(first_->forward_strided(reflected(context.as_map(x), 3), 1, 0));
  h = activated(down2_->forward(activated(down1_->forward(h))));
  for (const auto& block : *blocks_) h = block->forward(h);
  h = activated(up1_->forward(activated(up2_->forward(h))));
  return at::tanh(last_->forward_strided(reflected(h, 3), 1, 0).to(x.scalar_type()));
}

}  // namespace ganymede
