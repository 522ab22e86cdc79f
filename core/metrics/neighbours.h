#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ganymede {

enum class SelfMatch {
  keep,  ///< queries and candidates are different sets
  skip,  ///< of one set: the candidate with the query's own index is left out
};

/// The k nearest of many candidates for each of a set of queries. Candidates come block by block, in any
/// order and cut in any way: the result is the same to the bit. So a rank holds its own shard of queries and
/// sends candidates around a ring. Distances are Euclidean and exact in float64 (exact_distance.h); of equal
/// ones the lower index comes first. Memory: a tile of 32 MB and 16 k bytes a query.
///
///     NearestNeighbours search(mine, my_indices, 3, SelfMatch::skip);
///     for (each block of the ring) search.add(block, its_indices);
///     at::Tensor radii = search.squared_radii();  // of the balls that precision and coverage are made of
class NearestNeighbours {
 public:
  /// `queries` [n, D] float32 or float64, finite (Error(`checkpoint`)), with `indices` [n] int64, which
  /// matter to SelfMatch::skip alone.
  NearestNeighbours(const at::Tensor& queries, const at::Tensor& indices, std::int64_t k, SelfMatch self);

  /// Candidates [m, D] of the queries' type, and their indices [m] int64 in the whole candidate set.
  void add(const at::Tensor& candidates, const at::Tensor& indices);

  /// [n, k] float64, not squared, ascending. All four throw Error(`options`) if fewer than k
  /// candidates came.
  at::Tensor distances() const;
  /// [n, k] int64.
  at::Tensor indices() const;
  /// [n, k] float64, squared.
  at::Tensor squared_distances() const;
  /// [n] float64: the squared distance of the k-th neighbour.
  at::Tensor squared_radii() const;

 private:
  void check_full() const;

  at::Tensor queries_;
  at::Tensor query_indices_;
  at::Tensor centre_;
  std::int64_t k_;
  bool skip_self_;
  std::int64_t seen_ = 0;
  at::Tensor squared_;  ///< [n, k] float64
  at::Tensor nearest_;  ///< [n, k] int64
};

/// For each query, how many balls it lies in, and how near the nearest centre is: balls come block by block,
/// as candidates do above.
class BallMembership {
 public:
  /// `queries` [n, D] float32 or float64, finite.
  explicit BallMembership(const at::Tensor& queries);

  /// Balls around `centres` [m, D] with squared radii [m] float64.
  void add(const at::Tensor& centres, const at::Tensor& squared_radii);

  /// [n] int64: balls with distance <= radius.
  at::Tensor closed() const { return closed_; }
  /// [n] int64: balls with distance < radius.
  at::Tensor open() const { return open_; }
  /// [n] float64: the smallest squared distance to a centre; infinite before any came.
  at::Tensor squared_nearest() const { return nearest_; }

 private:
  at::Tensor queries_;
  at::Tensor centre_;
  at::Tensor closed_;
  at::Tensor open_;
  at::Tensor nearest_;
};

}  // namespace ganymede
