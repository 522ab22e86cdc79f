#pragma once

#include <functional>

#include "distributed/communicator.h"
#include "evaluation/feature_pass.h"
#include "evaluation/selection.h"

namespace ganymede {

/// Rows that are cut among the ranks as ImageFeatures' are, for metrics that need those of others too.
/// Memory beside the rank's own: one block.
class ShardedRows {
 public:
  /// `own` [n, ...] contiguous: float32, float64 or uint8; `count` and `unit` are the pass's.
  ShardedRows(Communicator& ranks, at::Tensor own, std::int64_t count, std::int64_t unit);

  /// The pool features of a pass.
  static ShardedRows pool_of(Communicator& ranks, const ImageFeatures& features) {
    return {ranks, features.pool, features.count(), features.unit};
  }

  /// The pixels of at most `most` images that it kept, by ImageFeatures::kept_of(), numbered from 0.
  static ShardedRows images_of(Communicator& ranks, const ImageFeatures& features, std::int64_t most);

  const at::Tensor& own() const { return own_; }
  /// Of all ranks.
  std::int64_t count() const { return begins_.back(); }
  /// [n] int64: the positions of the own rows.
  at::Tensor positions() const;

  /// The rows at positions [m] int64, the same list on every rank: [m, ...] on each. Collective.
  at::Tensor fetch(const at::Tensor& positions) const;
  /// What each rank found of its rows, [n, ...], of all rows [N, ...]. Collective.
  at::Tensor gather(const at::Tensor& figures) const;
  /// Shows every rank all rows, block by block of at most `block` rows, in order, with their positions [m].
  /// Collective.
  void for_each_block(
      std::int64_t block,
      const std::function<void(const at::Tensor& rows, const at::Tensor& positions)>& take) const;

  Communicator& ranks() const { return ranks_; }

 private:
  /// Rank r has the rows begins[r] .. begins[r + 1] - 1.
  ShardedRows(Communicator& ranks, at::Tensor own, std::vector<std::int64_t> begins);
  Share share(int rank) const;

  Communicator& ranks_;
  at::Tensor own_;
  std::vector<std::int64_t> begins_;
};

/// The row block that keeps a block of `width` float32 numbers a row near 32 MB.
std::int64_t rows_of_block(std::int64_t width);

}  // namespace ganymede
