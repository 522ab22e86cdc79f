#pragma once

#include "models/layers/module_list.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// What is attended to.
struct AttentionOptions {
  std::int64_t context = 0;  ///< width of what x attends to, 0 where that is x itself
  bool bias = true;          ///< of q, k and v
};

/// Attention of `heads` heads (Vaswani et al., arXiv 1706.03762): with linear maps q of x, k and v of the context,
/// and out, in each head of width d = C / heads
///
///     y = softmax(q k^T / sqrt(d)) v
///
/// x [N, L, C], context [N, T, D] or x itself -> [N, L, C]. One fused pass where that is fast, which stores no [L, T]
/// map: on GPUs, and on CPUs for L above 1024, or above 128 for narrow heads without gradients. Of a single token
/// (T = 1) y = v, without q and k. Parameters "to_q", "to_k", "to_v", "to_out.0".
class MultiHeadAttention : public torch::nn::Module {
 public:
  /// heads must divide width.
  MultiHeadAttention(std::int64_t width, std::int64_t heads, const AttentionOptions& options = {});
  at::Tensor forward(const at::Tensor& x) { return forward(x, x); }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context);

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> q_, k_, v_;
  std::shared_ptr<ModuleList<Linear>> out_;
};

}  // namespace ganymede
