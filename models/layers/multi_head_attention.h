#pragma once

#include "models/layers/module_list.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// Self-attention of `heads` heads (Vaswani et al., arXiv 1706.03762): with linear maps q, k, v and out, in each
/// head of width d = C / heads
///
///     y = softmax(q k^T / sqrt(d)) v
///
/// x [N, L, C] -> [N, L, C]. One fused pass where that is fast, which stores no [L, L] map: on GPUs, for L above 1024,
/// and on CPUs for narrow heads without gradients. Parameters "to_q", "to_k", "to_v", "to_out.0", each with a bias.
class MultiHeadAttention : public torch::nn::Module {
 public:
  /// heads must divide width.
  MultiHeadAttention(std::int64_t width, std::int64_t heads);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> q_, k_, v_;
  std::shared_ptr<ModuleList<Linear>> out_;
};

}  // namespace ganymede
