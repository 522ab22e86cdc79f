#include "evaluation/manifold.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/metrics/neighbours.h"

namespace ganymede {

at::Tensor squared_neighbours(const ShardedRows& rows, std::int64_t k) {
  NearestNeighbours search(rows.own(), rows.positions(), k, SelfMatch::skip);
  rows.for_each_block(
      rows_of_block(rows.own().size(1)),
      [&](const at::Tensor& block, const at::Tensor& positions) { search.add(block, positions); });
  return search.squared_distances();
}

NearestRows nearest_rows(const ShardedRows& queries, const ShardedRows& candidates) {
  NearestNeighbours search(queries.own(), queries.positions(), 1, SelfMatch::keep);
  candidates.for_each_block(
      rows_of_block(candidates.own().size(1)),
      [&](const at::Tensor& block, const at::Tensor& positions) { search.add(block, positions); });
  return {search.squared_radii(), search.indices().flatten()};
}

BallCounts count_balls(const ShardedRows& queries, const ShardedRows& centres, const at::Tensor& radii) {
  const at::Tensor all_radii = centres.gather(radii);
  BallMembership membership(queries.own());
  centres.for_each_block(rows_of_block(centres.own().size(1)),
                         [&](const at::Tensor& block, const at::Tensor& positions) {
                           membership.add(block, all_radii.index_select(0, positions));
                         });
  return {membership.closed(), membership.open(), membership.squared_nearest()};
}

std::int64_t sum_over_ranks(Communicator& ranks, std::int64_t own) {
  at::Tensor sum = at::full({1}, own, at::kLong);
  ranks.all_reduce(sum)->wait();
  return sum.item<std::int64_t>();
}

void check_neighbours(std::string_view metric, std::int64_t k, std::int64_t images, std::int64_t reference) {
  if (std::min(images, reference) <= k)
    fail(ExitCode::dataset,
         "{} looks at the {} nearest neighbours: it needs more than {} images of each, not {} and {}", metric,
         k, k, images, reference);
}

}  // namespace ganymede
