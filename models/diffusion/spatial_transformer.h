#pragma once

#include "models/diffusion/residual_block.h"
#include "models/layers/layer_norm.h"
#include "models/layers/multi_head_attention.h"

namespace ganymede {

/// Attention of a map's positions to each other and then to a context (Rombach et al., arXiv 2112.10752, appendix
/// E.2.1):
///
///     h = proj_in(norm(x)), its positions as tokens
///     h = h + attn1(norm1(h)),  h = h + attn2(norm2(h), context),  h = h + ff(norm3(h))
///     y = x + proj_out(h)
///
/// with 1x1 convolutions proj_in and proj_out, LayerNorms norm1 to norm3, and ff(h) = W (a gelu(b)), (a, b) = V h,
/// eight times the width together (GEGLU: Shazeer, arXiv 2002.05202). Names as diffusers' Transformer2DModel has
/// them: "norm", "proj_in", "transformer_blocks.0.attn1.to_q", ..., "transformer_blocks.0.ff.net.0.proj", "proj_out".
class SpatialTransformer : public torch::nn::Module {
 public:
  /// `context`: the width of its tokens.
  SpatialTransformer(std::int64_t channels, std::int64_t heads, std::int64_t context,
                     const BlockOptions& options);
  /// x [N, C, H, W] in channels_last order, context [N, T, width].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context);

 private:
  class Block;
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Conv2d> in_, out_;
  std::shared_ptr<ModuleList<Block>> blocks_;
};

}  // namespace ganymede
