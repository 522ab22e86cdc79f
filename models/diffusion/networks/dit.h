#pragma once

#include "models/diffusion/denoiser.h"
#include "models/layers/module_list.h"
#include "models/layers/time_embedding.h"

namespace ganymede {

/// The diffusion transformer (Peebles and Xie, arXiv 2212.09748) with adaLN-Zero.
struct DitOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 4;
  std::int64_t classes = 1000;
  std::int64_t patch = 2;
  std::int64_t depth = 12, width = 384, heads = 6;
  double mlp_ratio = 4;
  double frequency_shift = 1;  ///< models/layers/sinusoids.h; diffusers takes 1
  double mlp_norm_eps = 1e-6;  ///< of the norm before each block's mlp; diffusers' own default is 1e-5

  void describe(OptionSchema& schema);
};

/// With tokens x [N, L, width], L = (resolution / patch)^2, and c = time + label, embedded [N, width], each block is
///
///     (b1, a1, g1, b2, a2, g2) = linear(silu(c))
///     x = x + g1 attention(norm(x) (1 + a1) + b1)
///     x = x + g2 mlp(norm(x) (1 + a2) + b2)
///
/// with a norm over the width (epsilon 1e-6, or mlp_norm_eps) without gain, and tanh's GELU. Names are those of diffusers'
/// DiTTransformer2DModel where it has them; its blocks repeat the embedders that this network has once:
/// "time_embedder", "class_embedder". The places' embedding is a buffer, "positions" [L, width].
class Dit final : public Denoiser {
 public:
  Dit(const DitOptions& options, const DenoiserShape& shape);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                     const DenoiserContext& context) override;
  /// Uniform by fans (Glorot); N(0, 0.02) in the embedders; zero in every adaLN and in the last map, so that
  /// each block begins as the identity.
  void initialise(std::uint64_t seed) override;

 private:
  class Block;
  class PatchEmbedding;
  class LabelEmbedding;
  at::Tensor image_of(const at::Tensor& tokens) const;

  DitOptions options_;
  std::int64_t out_channels_;
  std::shared_ptr<PatchEmbedding> patches_;
  at::Tensor positions_;
  std::shared_ptr<TimeEmbedding> time_;
  std::shared_ptr<LabelEmbedding> label_;  // null where nothing is told apart
  std::shared_ptr<ModuleList<Block>> blocks_;
  std::shared_ptr<Linear> modulation_, out_;
};

std::unique_ptr<DenoiserNetwork> make_dit();

}  // namespace ganymede
