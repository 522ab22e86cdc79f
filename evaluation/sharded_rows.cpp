#include "evaluation/sharded_rows.h"

#include <algorithm>

#include "evaluation/selection.h"

namespace ganymede {

ShardedRows::ShardedRows(Communicator& ranks, at::Tensor own, std::int64_t count, std::int64_t unit,
                         std::int64_t stride)
    : ranks_(ranks), own_(std::move(own)), count_(count), unit_(unit), stride_(stride) {
  TORCH_CHECK(own_.size(0) == positions().numel(), "rows do not fit the share");
}

Share ShardedRows::share(int rank) const {
  return share_of_every(share_of_positions(count_, unit_, rank, ranks_.size()), stride_);
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
