#include "models/diffusion/spatial_transformer.h"

#include <ATen/ATen.h>

namespace ganymede {

class SpatialTransformer::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t width, std::int64_t heads, std::int64_t context) {
    norm1_ = register_module("norm1", std::make_shared<LayerNorm>(width));
    norm2_ = register_module("norm2", std::make_shared<LayerNorm>(width));
    norm3_ = register_module("norm3", std::make_shared<LayerNorm>(width));
    self_ = register_module(
        "attn1", std::make_shared<MultiHeadAttention>(width, heads, AttentionOptions{.bias = false}));
    cross_ = register_module("attn2", std::make_shared<MultiHeadAttention>(
                                          width, heads, AttentionOptions{.context = context, .bias = false}));
    widen_ = std::make_shared<Linear>(width, 8 * width, WeightOptions{});
    narrow_ = std::make_shared<Linear>(4 * width, width, WeightOptions{});
    // Modules that only lend their names to those within.
    const auto feed_forward = register_module("ff", std::make_shared<torch::nn::Module>());
    const auto net = feed_forward->register_module("net", std::make_shared<torch::nn::Module>());
    net->register_module("0", std::make_shared<torch::nn::Module>())->register_module("proj", widen_);
    net->register_module("2", narrow_);
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context) {
    at::Tensor h = x + self_->forward(norm1_->forward(x));
    h = h + cross_->forward(norm2_->forward(h), context);
    const auto parts = widen_->forward(norm3_->forward(h)).chunk(2, -1);
    return h + narrow_->forward(parts[0] * at::gelu(parts[1]));
  }

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<MultiHeadAttention> self_, cross_;
  std::shared_ptr<Linear> widen_, narrow_;
};

SpatialTransformer::SpatialTransformer(std::int64_t channels, std::int64_t heads, std::int64_t context,
                                       const BlockOptions& options) {
  norm_ = register_module("norm", std::make_shared<GroupNorm>(options.groups, channels, 1e-6));
  in_ = register_module("proj_in", std::make_shared<Conv2d>(channels, channels, 1, WeightOptions{}));
  blocks_ = register_module("transformer_blocks", std::make_shared<ModuleList<Block>>());
  blocks_->add(std::make_shared<Block>(channels, heads, context));
  out_ = register_module("proj_out", std::make_shared<Conv2d>(channels, channels, 1, WeightOptions{}));
}

at::Tensor SpatialTransformer::forward(const at::Tensor& x, const at::Tensor& context) {
  at::Tensor h = in_->forward(norm_->forward(x)).permute({0, 2, 3, 1}).flatten(1, 2);  // [N, HW, C]
  for (const auto& block : *blocks_) h = block->forward(h, context);
  return x + out_->forward(h.view({x.size(0), x.size(2), x.size(3), x.size(1)}).permute({0, 3, 1, 2}));
}

}  // namespace ganymede
