#include "datasets/readahead.h"

#include <algorithm>

namespace ganymede {
namespace {

constexpr std::int64_t small_set = std::int64_t{256} << 20;
constexpr std::int64_t least_piece = std::int64_t{1} << 20;

}  // namespace

Readahead::Readahead(const ImageDataset& dataset, const SampleOrder& order)
    : dataset_(dataset), order_(order), whole_(dataset.size() * dataset.image_bytes() <= small_set) {}

void Readahead::follow(std::span<const SampleOrder::Place> places) {
  if (whole_) {
    if (!whole_advised_) dataset_.advise(0, dataset_.size());
    whole_advised_ = true;
    return;
  }
  for (std::size_t i = 0; i < places.size();) {
    std::size_t end = i + 1;
    while (end < places.size() && places[end].lane == places[i].lane && places[end].epoch == places[i].epoch)
      ++end;
    follow_lane(places[i], static_cast<std::int64_t>(end - i));
    i = end;
  }
}

void Readahead::follow_lane(const SampleOrder::Place& place, std::int64_t count) {
  const std::int64_t lane = place.lane, length = order_.lane_length(lane);
  const Share window = order_.window_of(lane, place.index);
  const std::int64_t next = (window.first + window.count) % length;
  const std::int64_t epoch_start = place.epoch * length;
  const std::int64_t goal = epoch_start + window.first + window.count + order_.window_of(lane, next).count;
  std::int64_t& advised = advised_[lane];
  advised = std::max(advised, epoch_start + window.first);
  std::int64_t left = std::max(4 * count, least_piece / dataset_.image_bytes());
  while (left > 0 && advised < goal) {
    const Share run = order_.run_at({advised / length, lane, advised % length});
    const std::int64_t piece = std::min({run.count, left, goal - advised});
    dataset_.advise(run.first, piece);
    advised += piece;
    left -= piece;
  }
}

}  // namespace ganymede
