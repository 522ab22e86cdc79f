#pragma once

#include "evaluation/sharded_rows.h"

namespace ganymede {

/// k-nearest-neighbour questions to features that are cut among the ranks: each rank asks for its own rows,
/// and the others' come to it block by block. Collective; equal to the bit at any rank count.

/// [n, k] float64, ascending: for each own row the squared distances to its k nearest among all other rows.
at::Tensor squared_neighbours(const ShardedRows& rows, std::int64_t k);

struct NearestRows {
  at::Tensor squared;  ///< [n] float64
  at::Tensor indices;  ///< [n] int64: positions among `candidates`
};
/// The nearest of `candidates` for each own row of `queries`.
NearestRows nearest_rows(const ShardedRows& queries, const ShardedRows& candidates);

struct BallCounts {
  at::Tensor closed, open;     ///< [n] int64: balls with distance <= radius, < radius
  at::Tensor squared_nearest;  ///< [n] float64: to the nearest centre
};
/// In how many balls around `centres` each own row of `queries` lies; `radii` [n] are those of the own
/// centres.
BallCounts count_balls(const ShardedRows& queries, const ShardedRows& centres, const at::Tensor& radii);

/// Sum over ranks. Collective.
std::int64_t sum_over_ranks(Communicator& ranks, std::int64_t own);

/// Throws Error(dataset) unless both sets have more than `k` images.
void check_neighbours(std::string_view metric, std::int64_t k, std::int64_t images, std::int64_t reference);

}  // namespace ganymede
