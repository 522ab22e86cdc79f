#include "models/layers/multi_head_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/kernels/cpu/softmax_rows.h"

namespace ganymede {
namespace {

/// Rows whose [L, T] maps a CPU keeps: with gradients or wide heads, and without either.
constexpr std::int64_t most_kept = 1024, most_kept_of_narrow = 128;

/// softmax(q k^T / sqrt(d)) v: q [N, heads, L, d], k and v [N, heads, T, d].
at::Tensor attended(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const std::int64_t rows = q.size(2), width = q.size(3);
  const bool learns = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  // libtorch's fused pass is slow on CPUs: two to eight times on the way back, and forward where heads are wide or rows few.
  if (!q.is_cpu() || rows > (learns || width >= 64 ? most_kept : most_kept_of_narrow))
    return at::scaled_dot_product_attention(q, k, v);
  const auto folded = [](const at::Tensor& x) { return x.reshape({-1, x.size(2), x.size(3)}); };
  at::Tensor scores = at::baddbmm(at::zeros({1, 1, 1}, q.options()), folded(q), folded(k).transpose(1, 2), 0,
                                  1 / std::sqrt(static_cast<double>(width)));
  if (learns)
    scores = at::softmax(scores, -1);
  else
    cpu::softmax_rows(scores);
  return at::bmm(scores, folded(v)).view(q.sizes());
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(std::int64_t width, std::int64_t heads,
                                       const AttentionOptions& options)
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
  // One token has all of the attention, whatever asks.
  if (context.size(1) == 1) return (*out_)[0].forward(v_->forward(context)).expand({-1, x.size(1), -1});
  const auto heads = [&](const at::Tensor& y) { return y.unflatten(-1, {heads_, -1}).transpose(1, 2); };
  const at::Tensor y = attended(heads(q_->forward(x)), heads(k_->forward(context)),
                                heads(v_->forward(context)));  // [N, heads, L, d]
  return (*out_)[0].forward(y.transpose(1, 2).flatten(2));
}

}  // namespace ganymede
