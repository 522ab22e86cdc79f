#include "core/metrics/neighbours.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/metrics/exact_distance.h"
#include "core/metrics/moments.h"

namespace ganymede {
namespace {

constexpr std::int64_t queries_a_task = 16;

at::Tensor checked(const at::Tensor& features, std::int64_t dimension = 0) {
  check_features(features, dimension);
  return features.scalar_type() == at::kDouble ? features.contiguous() : features.to(at::kFloat).contiguous();
}

/// Moves a new neighbour up to its place in the ascending list of k whose last one it displaces.
void insert(double* squared, std::int64_t* index, std::int64_t k, double distance, std::int64_t candidate) {
  std::int64_t place = k - 1;
  for (; place > 0 && std::pair(distance, candidate) < std::pair(squared[place - 1], index[place - 1]);
       --place) {
    squared[place] = squared[place - 1];
    index[place] = index[place - 1];
  }
  squared[place] = distance;
  index[place] = candidate;
}

}  // namespace

NearestNeighbours::NearestNeighbours(const at::Tensor& queries, const at::Tensor& indices, std::int64_t k,
                                     SelfMatch self)
    : queries_(checked(queries)),
      query_indices_(indices.contiguous()),
      centre_(centre_of(queries_)),
      k_(k),
      skip_self_(self == SelfMatch::skip),
      squared_(at::full({queries.size(0), k}, std::numeric_limits<double>::infinity(), at::kDouble)),
      nearest_(at::full({queries.size(0), k}, std::numeric_limits<std::int64_t>::max(), at::kLong)) {
  TORCH_CHECK(k > 0 && indices.size(0) == queries.size(0), "NearestNeighbours: k ", k, ", ", queries.size(0),
              " queries, ", indices.size(0), " indices");
}

void NearestNeighbours::add(const at::Tensor& candidates, const at::Tensor& indices) {
  TORCH_CHECK(indices.size(0) == candidates.size(0), "NearestNeighbours: ", candidates.size(0),
              " candidates, ", indices.size(0), " indices");
  const at::Tensor block = checked(candidates, queries_.size(1)), numbers = indices.contiguous();
  const std::int64_t* own = query_indices_.const_data_ptr<std::int64_t>();
  const std::int64_t* theirs = numbers.const_data_ptr<std::int64_t>();
  double* squared = squared_.mutable_data_ptr<double>();
  std::int64_t* nearest = nearest_.mutable_data_ptr<std::int64_t>();
  for_each_tile(queries_, block, centre_,
                [&](const DistanceTile& tile, std::int64_t first, std::int64_t other) {
                  at::parallel_for(0, tile.rows(), queries_a_task, [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin; row < end; ++row) {
                      double* distances = squared + (first + row) * k_;
                      std::int64_t* found = nearest + (first + row) * k_;
                      for (std::int64_t column = 0; column < tile.columns(); ++column) {
                        const std::int64_t candidate = theirs[other + column];
                        if (tile.lower(row, column) > distances[k_ - 1]) continue;
                        if (skip_self_ && candidate == own[first + row]) continue;
                        const double distance = tile.exact(row, column);
                        if (std::pair(distance, candidate) < std::pair(distances[k_ - 1], found[k_ - 1]))
                          insert(distances, found, k_, distance, candidate);
                      }
                    }
                  });
                });
  seen_ += candidates.size(0);
}

void NearestNeighbours::check_full() const {
  const std::int64_t others = seen_ - (skip_self_ ? 1 : 0);
  if (others < k_)
    fail(ExitCode::options, "{} nearest neighbours among {} samples: at least {} are needed", k_, seen_,
         k_ + (skip_self_ ? 1 : 0));
}

at::Tensor NearestNeighbours::distances() const {
  check_full();
  return squared_.sqrt();
}

at::Tensor NearestNeighbours::indices() const {
  check_full();
  return nearest_;
}

at::Tensor NearestNeighbours::squared_distances() const {
  check_full();
  return squared_;
}

at::Tensor NearestNeighbours::squared_radii() const {
  check_full();
  return squared_.select(1, k_ - 1).contiguous();
}

BallMembership::BallMembership(const at::Tensor& queries)
    : queries_(checked(queries)),
      centre_(centre_of(queries_)),
      closed_(at::zeros({queries.size(0)}, at::kLong)),
      open_(at::zeros({queries.size(0)}, at::kLong)),
      nearest_(at::full({queries.size(0)}, std::numeric_limits<double>::infinity(), at::kDouble)) {}

void BallMembership::add(const at::Tensor& centres, const at::Tensor& squared_radii) {
  TORCH_CHECK(centres.size(0) == squared_radii.size(0), "BallMembership: ", centres.size(0), " centres, ",
              squared_radii.size(0), " radii");
  const at::Tensor block = checked(centres, queries_.size(1)),
                   reach = squared_radii.to(at::kDouble).contiguous();
  const double* radius = reach.const_data_ptr<double>();
  std::int64_t* closed = closed_.mutable_data_ptr<std::int64_t>();
  std::int64_t* open = open_.mutable_data_ptr<std::int64_t>();
  double* nearest = nearest_.mutable_data_ptr<double>();
  for_each_tile(queries_, block, centre_,
                [&](const DistanceTile& tile, std::int64_t first, std::int64_t other) {
                  at::parallel_for(0, tile.rows(), queries_a_task, [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin; row < end; ++row)
                      for (std::int64_t column = 0; column < tile.columns(); ++column) {
                        const double limit = radius[other + column], lower = tile.lower(row, column);
                        double& smallest = nearest[first + row];
                        if (lower > limit && lower > smallest) continue;
                        const bool inside = lower > smallest && tile.upper(row, column) < limit;
                        const double distance = inside ? 0.5 * limit : tile.exact(row, column);
                        if (!inside) smallest = std::min(smallest, distance);
                        closed[first + row] += distance <= limit;
                        open[first + row] += distance < limit;
                      }
                  });
                });
}

}  // namespace ganymede
