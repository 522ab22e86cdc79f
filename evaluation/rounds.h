#pragma once

#include <functional>

#include "evaluation/sharded_rows.h"

namespace ganymede {

/// Computes `count` figures, figure i by rank i mod size from some rows of either set, all ranks at once: in each
/// round first every rank's rows are fetched, one figure's a rank, and then none waits for another. Returns [count]
/// float64 on every rank. `rows(i)` names the positions of x and of y, the same on every rank; `figure` gets them.
/// Memory a rank: the rows of two figures. Collective.
at::Tensor figures_in_rounds(const ShardedRows& x, const ShardedRows& y, std::int64_t count,
                             const std::function<std::pair<at::Tensor, at::Tensor>(std::int64_t i)>& rows,
                             const std::function<double(const at::Tensor& x, const at::Tensor& y)>& figure);

}  // namespace ganymede
