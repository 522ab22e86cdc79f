#pragma once

#include <torch/nn/module.h>

#include "models/layers/layer_norm.h"
#include "models/layers/multi_head_attention.h"

namespace ganymede {

/// A transformer of captions (Vaswani et al., arXiv 1706.03762, section 3.1; norms before the maps: Xiong et al., arXiv
/// 2002.04745): h = token + position, learned both; in each layer
///
///     h = h + attention(norm1(h)),  h = h + W gelu(V norm2(h)), four times as wide within
///
/// and a last norm. Every token sees every other, ends of captions too.
class TextEncoder : public torch::nn::Module {
 public:
  struct Size {
    std::int64_t vocabulary, length, width, depth, heads;
  };
  explicit TextEncoder(const Size& size);
  /// tokens int64 [N, L], L at most `length` -> [N, L, width] of type `maps`.
  at::Tensor forward(const at::Tensor& tokens, at::ScalarType maps);

 private:
  class Layer;
  std::shared_ptr<Embedding> tokens_, positions_;
  std::shared_ptr<ModuleList<Layer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace ganymede
