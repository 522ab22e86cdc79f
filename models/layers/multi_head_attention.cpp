#include "models/layers/multi_head_attention.h"

#include <ATen/ATen.h>

namespace ganymede {

MultiHeadAttention::MultiHeadAttention(std::int64_t width, std::int64_t heads, const AttentionOptions& options)
    : heads_(heads) {
  TORCH_CHECK(width % heads == 0, "MultiHeadAttention: ", heads, " heads of a width of ", width);
  const std::int64_t context = options.context > 0 ? options.context : width;
  const WeightOptions weights{.bias = options.bias};
  q_ = register_module("to_q", std::make_shared<Linear>(width, width, weights));
  k_ = register_module("to_k", std::make_shared<Linear>(context, width, weights));
  v_ = register_module("to_v", std::make_shared<Linear>(context, width, weights));
  out_ = register_module("to_out", std::make_shared<ModuleList<Linear>>());
  out_->add(std::make_shared<Linear>(width, width, WeightOptions{}));
}

at::Tensor MultiHeadAttention::forward(const at::Tensor& x, const at::Tensor& context) {
  const auto heads = [&](const at::Tensor& y) { return y.unflatten(-1, {heads_, -1}).transpose(1, 2); };
  const at::Tensor y = at::scaled_dot_product_attention(heads(q_->forward(x)), heads(k_->forward(context)),
                                                        heads(v_->forward(context)));  // [N, heads, L, d]
  return (*out_)[0].forward(y.transpose(1, 2).flatten(2));
}

}  // namespace ganymede
