#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// Vectors that stand for latents (VQ-VAE, van den Oord et al., arXiv 1711.00937). Parameter "embedding.weight" [K, z].
class Codebook final : public torch::nn::Module {
 public:
  Codebook(std::int64_t codes, std::int64_t width);

  /// z [N, z, h, w] -> int64 [N, h, w]: the nearest vector at each place, the first of equals.
  at::Tensor nearest(const at::Tensor& z) const;
  /// Of such indices [N, h, w] the vectors [N, z, h, w], whose gradient the codebook gets.
  at::Tensor vectors(const at::Tensor& indices);
  /// vectors(nearest(z)).
  at::Tensor quantised(const at::Tensor& z) { return vectors(nearest(z)); }
  std::int64_t codes() const { return weight().size(0); }
  const at::Tensor& weight() const { return embedding_->weight(); }
  /// Uniform in +-1 / K.
  void initialise(std::uint64_t seed);

 private:
  std::shared_ptr<Embedding> embedding_;
};

}  // namespace ganymede
