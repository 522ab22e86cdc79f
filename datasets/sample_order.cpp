#include "datasets/sample_order.h"

#include <algorithm>
#include <stdexcept>

#include "core/philox.h"
#include "datasets/keyed_permutation.h"
#include "datasets/schema.h"

namespace ganymede {
namespace {

RandomStream stream_of(std::uint64_t seed, std::int64_t epoch, std::string_view name) {
  return RandomStream(
      {.seed = seed, .phase = "order", .step = static_cast<std::uint64_t>(epoch), .stream = name});
}

}  // namespace

SampleOrder::Options SampleOrder::options_for(std::int64_t count, std::int64_t image_bytes) {
  constexpr std::int64_t window_bytes = std::int64_t{2} << 30;
  Options options;
  options.block = std::max<std::int64_t>(
      1, std::min(digest_block_bytes(image_bytes) / image_bytes, count / (options.lanes * 16)));
  options.window = std::max(2 * options.block, window_bytes / (options.lanes * image_bytes));
  return options;
}

SampleOrder::SampleOrder(std::int64_t count, std::uint64_t seed, const Options& options)
    : count_(count), seed_(seed), options_(options) {
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
  std::vector<std::int64_t> samples;
  samples.reserve(static_cast<std::size_t>(count));
  for (const Place& place : places(position, count)) samples.push_back(sample_at(place));
  return samples;
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

Share SampleOrder::stream_run(std::int64_t epoch, std::int64_t stream_position) const {
  const std::int64_t block = options_.block, whole = count_ / block, rest = count_ % block;
  const RandomStream random = stream_of(seed_, epoch, "blocks");
  const KeyedPermutation permutation(std::max<std::int64_t>(whole, 1), random.bits(0, 0));
  // Whole blocks are permuted; the short one is put between any two of them.
  std::int64_t rest_first = count_;
  if (rest > 0)
    rest_first = static_cast<std::int64_t>(random.bits(0, 1) % static_cast<std::uint64_t>(whole + 1)) * block;
  if (stream_position >= rest_first && stream_position < rest_first + rest) {
    const std::int64_t within = stream_position - rest_first;
    return {whole * block + within, rest - within};
  }
  const std::int64_t among_whole = stream_position - (stream_position >= rest_first ? rest : 0);
  const std::int64_t within = among_whole % block;
  return {permutation(among_whole / block) * block + within, block - within};
}

std::int64_t SampleOrder::sample_at(const Place& place) const {
  const Share window = window_of(place.lane, place.index);
  const RandomStream random = stream_of(seed_, place.epoch, "windows");
  const std::uint64_t key = random.bits(static_cast<std::uint64_t>(lane_first(place.lane) + window.first), 0);
  const std::int64_t index = window.first + KeyedPermutation(window.count, key)(place.index - window.first);
  return stream_run(place.epoch, lane_first(place.lane) + index).first;
}

Share SampleOrder::run_at(const Place& place) const {
  Share run = stream_run(place.epoch, lane_first(place.lane) + place.index);
  run.count = std::min(run.count, lane_length(place.lane) - place.index);
  return run;
}

}  // namespace ganymede
