#pragma once

#include "distributed/communicator.h"

namespace ganymede {

/// Sum over ranks as an autograd operation of any order. Each rank's loss is its part of a global loss (the
/// sum over ranks), so the gradient is the sum over ranks of the gradients. Forward and backward are
/// collective.
at::Tensor all_reduce_sum(const at::Tensor& x, Communicator& communicator);

/// Per-channel moments of groups of images that are spread over ranks.
struct GroupMoments {
  at::Tensor mean;      ///< [G, C]
  at::Tensor variance;  ///< [G, C], biased (divided by the count)
};

/// Which consecutive images form a group, and which of them this rank holds.
struct GroupLayout {
  std::int64_t first = 0;  ///< index of this rank's first image in the micro-batch
  std::int64_t total = 0;  ///< images in the micro-batch, over all ranks
  std::int64_t group = 0;  ///< images a group; divides total
  std::int64_t groups() const { return total / group; }
};

/// Mean and variance of x [N, C, ...] over each group and all positions. Squares are summed about each
/// image's own mean and joined in float64, so that a large mean does not cancel the variance's digits. One
/// collective of 2 G C float64 numbers forward, one of as many of x's type in each backward; differentiable
/// to any order. Groups may straddle ranks. Every rank must call it with N >= 1.
GroupMoments synchronised_moments(const at::Tensor& x, const GroupLayout& layout, Communicator& communicator);

/// For each of this rank's N images the index of its group, int64 [N].
at::Tensor group_indices(std::int64_t images, const GroupLayout& layout, at::Device device = at::kCPU);

}  // namespace ganymede
