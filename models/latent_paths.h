#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace ganymede {

/// What a Sampler is beside that, where its images are a function of latents that can be moved a little.
class LatentPaths {
 public:
  virtual ~LatentPaths() = default;
  /// The images at both ends of short pieces of path, for labels [N]: two latents are drawn for each of the positions
  /// first .. first + N - 1, and a place t in [0, 1) on the path between them (core/metrics/path_length.h); the piece
  /// goes from t to t + `step`. [N, C, H, W] each, float32, about [-1, 1], not rounded to bytes: the ends differ by less
  /// than a byte's step. Piece i depends on (seed, i, label of i) alone. Runs as in Sampler::images().
  virtual std::pair<at::Tensor, at::Tensor> path_ends(std::int64_t first, const at::Tensor& labels,
                                                      double step) = 0;
};

}  // namespace ganymede
