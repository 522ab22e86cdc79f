#pragma once

#include "core/philox.h"
#include "models/first_stages/codebook.h"
#include "models/player.h"

namespace ganymede {

/// How often each code of a codebook was the nearest, and new places for those that never were.
class CodeUsage {
 public:
  CodeUsage(std::int64_t codes, at::Device device);

  /// Adds what the global batch used, [codes] float64, the same on every rank.
  void add(const at::Tensor& counts);
  /// Codes that nothing was nearest to since the last call become `places` [codes, z], row by row, without moments and
  /// with the average following at once. Counting begins anew. Nothing of this after a skipped update: then places may
  /// not be finite.
  void restart(Player& player, const std::string& weight, const at::Tensor& places);
  /// Codes that nothing was nearest to yet: a scalar.
  at::Tensor unused() const;
  /// For checkpoints: [codes] float64.
  const at::Tensor& counts() const { return counts_; }

 private:
  at::Tensor counts_;
};

/// For each code a vector among all those of the global batch, drawn by `key`: this rank's part [codes, z], zero where
/// another rank holds it, so that the sum over ranks is the whole. `vectors`: of each micro-batch this rank's
/// [n, z, h, w], whose first image has position `first` in the global batch of `batch` images.
struct VectorsOfBatch {
  at::Tensor vectors;
  std::int64_t first = 0;
};
at::Tensor drawn_vectors(const RandomKey& key, std::int64_t codes, std::int64_t batch,
                         const std::vector<VectorsOfBatch>& parts);

}  // namespace ganymede
