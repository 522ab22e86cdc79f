#include "models/diffusion/text_encoder.h"

#include <ATen/ATen.h>

namespace ganymede {

class TextEncoder::Layer final : public torch::nn::Module {
 public:
  Layer(std::int64_t width, std::int64_t heads) {
    norm1_ = register_module("norm1", std::make_shared<LayerNorm>(width));
    attention_ = register_module("attention", std::make_shared<MultiHeadAttention>(width, heads));
    norm2_ = register_module("norm2", std::make_shared<LayerNorm>(width));
    widen_ = register_module("widen", std::make_shared<Linear>(width, 4 * width, WeightOptions{}));
    narrow_ = register_module("narrow", std::make_shared<Linear>(4 * width, width, WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor h = x + attention_->forward(norm1_->forward(x));
    return h + narrow_->forward(at::gelu(widen_->forward(norm2_->forward(h))));
  }

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<MultiHeadAttention> attention_;
  std::shared_ptr<Linear> widen_, narrow_;
};

TextEncoder::TextEncoder(const Size& size) {
  tokens_ = register_module("token_embedding",
                            std::make_shared<Embedding>(size.vocabulary, size.width, WeightOptions{}));
  positions_ = register_module("position_embedding",
                               std::make_shared<Embedding>(size.length, size.width, WeightOptions{}));
  layers_ = register_module("layers", std::make_shared<ModuleList<Layer>>());
  for (std::int64_t i = 0; i < size.depth; ++i) layers_->add(std::make_shared<Layer>(size.width, size.heads));
  norm_ = register_module("norm", std::make_shared<LayerNorm>(size.width));
}

at::Tensor TextEncoder::forward(const at::Tensor& tokens, at::ScalarType maps) {
  const at::Tensor places = at::arange(tokens.size(1), tokens.options());
  at::Tensor h = (tokens_->forward(tokens) + positions_->forward(places)).to(maps);
  for (const auto& layer : *layers_) h = layer->forward(h);
  return norm_->forward(h);
}

}  // namespace ganymede
