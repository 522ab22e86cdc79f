#include "evaluation/sharded_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "evaluation/selection.h"

namespace ganymede {
namespace {

/// Where each rank's share of the positions begins, and where the last ends.
std::vector<std::int64_t> begins_of_shares(std::int64_t count, std::int64_t unit, int size) {
  std::vector<std::int64_t> begins;
  for (int rank = 0; rank < size; ++rank) begins.push_back(share_of_positions(count, unit, rank, size).first);
  begins.push_back(count);
  return begins;
}

}  // namespace

ShardedRows::ShardedRows(Communicator& ranks, at::Tensor own, std::vector<std::int64_t> begins)
    : ranks_(ranks), own_(std::move(own)), begins_(std::move(begins)) {
  TORCH_CHECK(own_.size(0) == share(ranks_.rank()).count, "rows do not fit the share");
}

ShardedRows::ShardedRows(Communicator& ranks, at::Tensor own, std::int64_t count, std::int64_t unit)
    : ShardedRows(ranks, std::move(own), begins_of_shares(count, unit, ranks.size())) {}

ShardedRows ShardedRows::images_of(Communicator& ranks, const ImageFeatures& features, std::int64_t most) {
  const std::vector<std::int64_t> chosen = features.kept_of(most);
  std::vector<std::int64_t> begins;
  for (const std::int64_t first : begins_of_shares(features.count(), features.unit, ranks.size()))
    begins.push_back(std::ranges::lower_bound(chosen, first) - chosen.begin());
  if (chosen.size() == features.kept.size()) return {ranks, features.images, std::move(begins)};
  // Both lists ascend: the place of each in the longer, less those of the ranks before.
  const std::int64_t before =
      std::ranges::lower_bound(features.kept, features.share.first) - features.kept.begin();
  std::vector<std::int64_t> places;
  const auto rank = static_cast<std::size_t>(ranks.rank());
  for (std::int64_t i = begins[rank]; i < begins[rank + 1]; ++i)
    places.push_back(std::ranges::lower_bound(features.kept, chosen[static_cast<std::size_t>(i)]) -
                     features.kept.begin() - before);
  return {ranks, features.images.index_select(0, at::tensor(places, at::kLong)), std::move(begins)};
}

Share ShardedRows::share(int rank) const {
  const auto place = static_cast<std::size_t>(rank);
  return {begins_[place], begins_[place + 1] - begins_[place]};
}

at::Tensor ShardedRows::positions() const {
  const Share mine = share(ranks_.rank());
  return at::arange(mine.first, mine.first + mine.count, at::kLong);
}

at::Tensor ShardedRows::fetch(const at::Tensor& positions) const {
  std::vector<std::int64_t> shape = own_.sizes().vec();
  shape[0] = positions.numel();
  at::Tensor rows = at::zeros(shape, own_.options());
  const Share mine = share(ranks_.rank());
  const at::Tensor is_own = positions.ge(mine.first).logical_and(positions.lt(mine.first + mine.count));
  const at::Tensor places = is_own.nonzero().flatten();
  rows.index_copy_(0, places, own_.index_select(0, positions.index_select(0, places) - mine.first));
  // Each row comes from one rank, and the others add nothing: the sum is exact.
  ranks_.all_reduce(rows)->wait();
  return rows;
}

at::Tensor ShardedRows::gather(const at::Tensor& figures) const {
  std::vector<std::int64_t> shape = figures.sizes().vec();
  shape[0] = count();
  at::Tensor all = at::zeros(shape, figures.options());
  const Share mine = share(ranks_.rank());
  all.narrow(0, mine.first, mine.count).copy_(figures);
  ranks_.all_reduce(all)->wait();
  return all;
}

void ShardedRows::for_each_block(
    std::int64_t block,
    const std::function<void(const at::Tensor& rows, const at::Tensor& positions)>& take) const {
  std::vector<std::int64_t> shape = own_.sizes().vec();
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    const Share part = share(rank);
    for (std::int64_t first = 0; first < part.count; first += block) {
      shape[0] = std::min(block, part.count - first);
      at::Tensor rows =
          rank == ranks_.rank() ? own_.narrow(0, first, shape[0]) : at::empty(shape, own_.options());
      ranks_.broadcast(rows, rank)->wait();
      const std::int64_t position = part.first + first;
      take(rows, at::arange(position, position + shape[0], at::kLong));
    }
  }
}

std::int64_t rows_of_block(std::int64_t width) {
  return std::max<std::int64_t>(1, (std::int64_t{8} << 20) / std::max<std::int64_t>(width, 1));
}

}  // namespace ganymede
