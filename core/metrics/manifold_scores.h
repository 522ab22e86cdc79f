#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/metrics/neighbours.h"

namespace ganymede {

/// Scores of a set of features against real ones by k nearest neighbours. B(x) is the ball around x that
/// reaches to x's k-th neighbour in its own set (itself not counted).
///
/// Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", 2019,
/// equations 1 and 2 (balls closed, k = 3, as torch-fidelity and NVIDIA):
///
///     precision = share of fakes in any B(real)         recall = share of reals in any B(fake)
///
/// Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020, section 3
/// (balls open, k = 5, as the package prdc):
///
///     density  = mean over fakes of (number of B(real) that hold it) / k
///     coverage = share of reals whose B(real) holds any fake
struct ManifoldScores {
  double precision = 0;
  double recall = 0;
  double density = 0;
  double coverage = 0;
};

/// What the scores are quotients of, to be summed over shares of the fakes and the reals: six numbers a rank.
///
///     precision = in_real / fakes         recall   = in_fake / reals
///     density   = balls / (k fakes)       coverage = covered / reals
struct ManifoldCounts {
  std::int64_t fakes = 0;
  std::int64_t reals = 0;
  std::int64_t in_real = 0;
  std::int64_t in_fake = 0;
  std::int64_t balls = 0;
  std::int64_t covered = 0;

  /// Adds a share of the fakes, which has met all real balls.
  ManifoldCounts& add_fakes(const BallMembership& in_real_balls);
  /// Adds a share of the reals, which has met all fake balls, with the radii [n] of their own.
  ManifoldCounts& add_reals(const BallMembership& in_fake_balls, const at::Tensor& squared_radii);
  ManifoldScores scores(std::int64_t k) const;
};

/// Of features real [N, D] and fake [M, D], on one rank; on several, its source is the order of steps.
/// Error(`options`) if either has fewer than k + 1 samples, Error(`checkpoint`) on NaN.
ManifoldScores manifold_scores(const at::Tensor& real, const at::Tensor& fake, std::int64_t k);

}  // namespace ganymede
