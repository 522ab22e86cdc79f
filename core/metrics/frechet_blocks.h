#pragma once

#include <cstdint>
#include <vector>

#include "core/metrics/error_bars.h"
#include "core/metrics/frechet.h"

namespace ganymede {

/// Error bars and FID at infinity from the moments of B blocks of one size, which cost no second pass over
/// the images. Each distance is a matrix step of a second or two at D = 2,048, so these lists say which
/// distances are wanted, and ranks may share them out: distance(i) on rank i mod ranks, then one all-reduce.

/// The distance to `reference` of the blocks at `chosen`, taken together.
FrechetDistance blocks_distance(std::vector<Moments>& blocks, const std::vector<std::int64_t>& chosen,
                                const Gaussian& reference);

/// For the jackknife: B lists, list i with every block but i.
std::vector<std::vector<std::int64_t>> all_but_one(std::int64_t blocks);

/// For the extrapolation: for m = ceil(B / 4), ..., B the floor(B / m) disjoint runs of m neighbouring
/// blocks.
std::vector<std::vector<std::int64_t>> growing_runs(std::int64_t blocks);

/// FID at infinity (Chong and Forsyth, "Effectively unbiased FID and Inception Score and where to find them",
/// CVPR 2020): the expected FID of N samples is FID_inf + a / N + O(1/N^2), so that a line through
/// FID against 1 / N, met with the axis, is free of the bias that makes FIDs of different N incomparable.
/// `counts` and `values` are N and the distance of each run; standard_error is the line's. The paper's points
/// are 15 draws between 5,000 and N; ours are the growing_runs, which should be well above D samples each.
Estimate frechet_infinity(const std::vector<double>& counts, const std::vector<double>& values);

}  // namespace ganymede
