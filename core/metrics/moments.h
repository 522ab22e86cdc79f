#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ganymede {

/// Refuses features that no score can be taken of: an Error(`checkpoint`) (the extractor's weights, or the
/// file that the features came from) unless `features` is [N, D] with D = `dimension` (any D if 0) and
/// finite.
void check_features(const at::Tensor& features, std::int64_t dimension = 0);

/// Count, sum and outer product of features x [N, D], in float64: all that the Frechet distance needs of
/// them.
///
///     mean       mu    = sum x / N
///     covariance Sigma = (sum x x' - N mu mu') / (N - 1)
///
/// Raw sums merge by addition, so that ranks merge by one all-reduce of 8 (1 + D + D^2) bytes, 33.6 MB for D
/// = 2,048. Rows are gathered into blocks before they are multiplied: the sums depend on the order of rows,
/// by rounding alone, and not at all on how many were handed in at a time. (float32 sums are off in the
/// fourth digit of an FID; these, at features of mean 1 and deviation 1, by 1e-14.)
///
///     Moments moments(2048);
///     moments.add(features);                         // as often as there are batches
///     communicator.all_reduce(moments.sums())->wait();
///     const Gaussian fitted = Gaussian::of(moments);  // the same on every rank
class Moments {
 public:
  explicit Moments(std::int64_t dimension);
  /// The same with its sums in `state`, zeros of sums()'s shape: a row of a tensor that holds several.
  Moments(std::int64_t dimension, at::Tensor state);

  /// Length of sums().
  static std::int64_t state_size(std::int64_t dimension) { return 1 + dimension + dimension * dimension; }

  /// Takes in features [n, D] of any floating type, n >= 0. Throws as check_features.
  void add(const at::Tensor& features);
  /// Takes in what another has seen.
  void merge(Moments& other);

  /// All that was added, [1 + D + D D] float64: count, sum, and the outer product, row by row, of which only
  /// the lower triangle is kept up (the rest is zero). It is the state itself: what a caller adds in place,
  /// as an all-reduce does, belongs to these moments from then on.
  at::Tensor sums();

  std::int64_t dimension() const { return dimension_; }
  std::int64_t count() const;
  /// [D] float64. Error(`options`) without a sample.
  at::Tensor mean();
  /// [D, D] float64, exactly symmetric, over N - 1. Error(`options`) with fewer than two samples.
  at::Tensor covariance();

 private:
  void flush();
  at::Tensor sum() const;
  at::Tensor outer() const;

  std::int64_t dimension_;
  at::Tensor state_;
  at::Tensor pending_;  ///< [block, D], rows that wait
  std::int64_t waiting_ = 0;
};

}  // namespace ganymede
