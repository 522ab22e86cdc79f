#include "models/layers/discriminator_block.h"

#include <ATen/ATen.h>

namespace ganymede {

DiscriminatorBlock::DiscriminatorBlock(const Options& options)
    : first_(options.first), halve_(options.halve) {
  if (!options.first) {
    norm1_ = make_image_norm(options.in, options.norm);
    norm2_ = make_image_norm(options.hidden, options.norm);
  }
  if (norm1_) register_module("norm1", norm1_);
  if (norm2_) register_module("norm2", norm2_);
  conv1_ = register_module("conv1", std::make_shared<Conv2d>(options.in, options.hidden, 3, options.inner));
  conv2_ = register_module("conv2", std::make_shared<Conv2d>(options.hidden, options.out, 3, options.inner));
  if (options.in != options.out || halve_)
    shortcut_ =
        register_module("shortcut", std::make_shared<Conv2d>(options.in, options.out, 1, options.shortcut));
}

at::Tensor DiscriminatorBlock::forward(const at::Tensor& x) {
  at::Tensor inner = conv1_->forward(first_ ? x : at::relu(norm1_ ? norm1_->forward(x) : x));
  inner = norm2_ ? at::relu(norm2_->forward(inner)) : inner.relu_();
  if (!halve_) return conv2_->forward(inner).add_(shortcut_ ? shortcut_->forward(x) : x);
  // Average pooling and a 1x1 convolution commute: pooled first, the convolution costs a quarter.
  return conv2_->forward_pooled(inner).add_(shortcut_->forward(at::avg_pool2d(x, 2)));
}

}  // namespace ganymede
