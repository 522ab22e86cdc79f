#include "datasets/sample_order.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "core/philox.h"
#include "datasets/keyed_permutation.h"
#include "datasets/schema.h"

namespace ganymede {

/// What all places of an epoch share.
class SampleOrder::Epoch {
 public:
  Epoch(const SampleOrder& order, std::int64_t epoch)
      : epoch_(epoch),
        order_(order),
        block_(order.options_.block),
        whole_(order.count_ / block_),
        rest_(order.count_ % block_),
        blocks_(stream_of(order, epoch, "blocks")),
        windows_(stream_of(order, epoch, "windows")),
        permutation_(std::max<std::int64_t>(whole_, 1), blocks_.bits(0, 0)),
        rest_first_(order.count_) {
    // Whole blocks are permuted; the short one is put between any two of them.
    if (rest_ > 0)
      rest_first_ =
          static_cast<std::int64_t>(blocks_.bits(0, 1) % static_cast<std::uint64_t>(whole_ + 1)) * block_;
  }

  std::int64_t epoch() const { return epoch_; }

  Share stream_run(std::int64_t stream_position) const {
    if (stream_position >= rest_first_ && stream_position < rest_first_ + rest_) {
      const std::int64_t within = stream_position - rest_first_;
      return {whole_ * block_ + within, rest_ - within};
    }
    const std::int64_t among_whole = stream_position - (stream_position >= rest_first_ ? rest_ : 0);
    const std::int64_t within = among_whole % block_;
    return {permutation_(among_whole / block_) * block_ + within, block_ - within};
  }

  std::int64_t sample_at(const Place& place) const {
    const Share window = order_.window_of(place.lane, place.index);
    const std::int64_t lane_first = order_.lane_first(place.lane);
    const std::uint64_t key = windows_.bits(static_cast<std::uint64_t>(lane_first + window.first), 0);
    const std::int64_t index = window.first + KeyedPermutation(window.count, key)(place.index - window.first);
    return stream_run(lane_first + index).first;
  }

 private:
  static RandomStream stream_of(const SampleOrder& order, std::int64_t epoch, std::string_view name) {
    return RandomStream({.seed = order.seed_,
                         .phase = order.phase_,
                         .step = static_cast<std::uint64_t>(epoch),
                         .stream = name});
  }

  std::int64_t epoch_;
  const SampleOrder& order_;
  std::int64_t block_, whole_, rest_;
  RandomStream blocks_, windows_;
  KeyedPermutation permutation_;
  std::int64_t rest_first_;  ///< place of the short block in the stream
};

SampleOrder::Options SampleOrder::options_for(std::int64_t count, std::int64_t image_bytes,
                                              std::int64_t together) {
  constexpr std::int64_t small_set = std::int64_t{256} << 20;
  if (together > 1 && count * image_bytes > small_set) {
    Options options;
    options.block =
        together * std::max<std::int64_t>(1, digest_block_bytes(image_bytes) / image_bytes / together);
    options.window = std::max(together, small_set / (options.lanes * image_bytes));
    return options;
  }
  constexpr std::int64_t window_bytes = std::int64_t{2} << 30;
  Options options;
  options.block = std::max<std::int64_t>(
      1, std::min(digest_block_bytes(image_bytes) / image_bytes, count / (options.lanes * 16)));
  options.window = std::max(2 * options.block, window_bytes / (options.lanes * image_bytes));
  return options;
}

SampleOrder::SampleOrder(std::int64_t count, std::uint64_t seed, const Options& options,
                         std::string_view phase)
    : count_(count), seed_(seed), options_(options), phase_(phase) {
  if (count < 1 || options.block < 1 || options.lanes < 1 || options.window < 1)
    throw std::logic_error("sample order: count, block, lanes and window must be positive");
}

std::vector<SampleOrder::Place> SampleOrder::places(std::int64_t position, std::int64_t count) const {
  std::vector<Place> result;
  result.reserve(static_cast<std::size_t>(count));
  const std::int64_t lanes = options_.lanes;
  while (count > 0) {
    const std::int64_t epoch = position / count_, first = position % count_;
    const std::int64_t here = std::min(count, count_ - first);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t skip = (lane - first % lanes + lanes) % lanes;
      for (std::int64_t at = first + skip; at < first + here; at += lanes)
        result.push_back({epoch, lane, at / lanes});
    }
    position += here;
    count -= here;
  }
  return result;
}

std::vector<std::int64_t> SampleOrder::batch(std::int64_t position, std::int64_t count) const {
  return samples_at(places(position, count));
}

std::int64_t SampleOrder::lane_length(std::int64_t lane) const {
  return count_ / options_.lanes + (lane < count_ % options_.lanes ? 1 : 0);
}

/// The longer lanes come first, so that the last positions of an epoch fall into them.
std::int64_t SampleOrder::lane_first(std::int64_t lane) const {
  return lane * (count_ / options_.lanes) + std::min(lane, count_ % options_.lanes);
}

Share SampleOrder::window_of(std::int64_t lane, std::int64_t index) const {
  // Windows of equal size, so that no short one remains whose few samples would stay together.
  const std::int64_t length = lane_length(lane),
                     windows = std::max<std::int64_t>(1, length / options_.window);
  const std::int64_t window = ((index + 1) * windows - 1) / length;
  const std::int64_t first = window * length / windows;
  return {first, (window + 1) * length / windows - first};
}

std::int64_t SampleOrder::sample_at(const Place& place) const {
  return Epoch(*this, place.epoch).sample_at(place);
}

std::vector<std::int64_t> SampleOrder::samples_at(std::span<const Place> places) const {
  std::vector<std::int64_t> samples;
  samples.reserve(places.size());
  std::optional<Epoch> epoch;
  for (const Place& place : places) {
    if (!epoch || epoch->epoch() != place.epoch) epoch.emplace(*this, place.epoch);
    samples.push_back(epoch->sample_at(place));
  }
  return samples;
}

Share SampleOrder::run_at(const Place& place) const {
  Share run = Epoch(*this, place.epoch).stream_run(lane_first(place.lane) + place.index);
  run.count = std::min(run.count, lane_length(place.lane) - place.index);
  return run;
}

}  // namespace ganymede
