#pragma once

#include <functional>

#include "distributed/communicator.h"
#include "evaluation/feature_pass.h"

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

  const at::Tensor& own() const { return own_; }
  std::int64_t count() const { return count_; }
  std::int64_t unit() const { return unit_; }
  /// [n] int64: the positions of the own rows.
  at::Tensor positions() const;

  /// The rows at positions [m] int64, the same list on every rank: [m, ...] on each. Collective.
  at::Tensor fetch(const at::Tensor& positions) const;
  /// Shows every rank all rows, block by block of at most `block` rows, in order, with their positions [m].
  /// Collective.
  void for_each_block(
      std::int64_t block,
      const std::function<void(const at::Tensor& rows, const at::Tensor& positions)>& take) const;

  Communicator& ranks() const { return ranks_; }

 private:
  Communicator& ranks_;
  at::Tensor own_;
  std::int64_t count_, unit_;
};

/// The row block that keeps a block of `width` float32 numbers a row near 32 MB.
std::int64_t rows_of_block(std::int64_t width);

}  // namespace ganymede
