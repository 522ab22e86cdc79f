#include "evaluation/neighbourhoods.h"

#include <algorithm>

namespace ganymede {

Neighbourhoods::Neighbourhoods(Communicator& ranks, const ImageFeatures& images,
                               const ImageFeatures& reference, std::int64_t most)
    : images_(ShardedRows::pool_of(ranks, images)),
      reference_(ShardedRows::pool_of(ranks, reference)),
      most_(most) {}

at::Tensor Neighbourhoods::radii(const ShardedRows& rows, at::Tensor& squared, std::int64_t k) const {
  if (!squared.defined() || squared.size(1) < k)
    squared = squared_neighbours(rows, std::max(k, std::min(most_, rows.count() - 1)));
  return squared.select(1, k - 1).contiguous();
}

const BallCounts& Neighbourhoods::images_in_reference(std::int64_t k) {
  auto found = images_in_.find(k);
  if (found == images_in_.end())
    found = images_in_.emplace(k, count_balls(images_, reference_, reference_radii(k))).first;
  return found->second;
}

const BallCounts& Neighbourhoods::reference_in_images(std::int64_t k) {
  auto found = reference_in_.find(k);
  if (found == reference_in_.end()) {
    found =
        reference_in_.emplace(k, count_balls(reference_, images_, radii(images_, images_squared_, k))).first;
    squared_to_images_ = found->second.squared_nearest;
  }
  return found->second;
}

at::Tensor Neighbourhoods::squared_to_images() {
  if (!squared_to_images_.defined()) squared_to_images_ = nearest_rows(reference_, images_).squared;
  return squared_to_images_;
}

const NearestRows& Neighbourhoods::nearest_reference() {
  if (!nearest_reference_) nearest_reference_ = nearest_rows(images_, reference_);
  return *nearest_reference_;
}

}  // namespace ganymede
