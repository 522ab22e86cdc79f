#include "datasets/reading_rate.h"

#include <algorithm>
#include <functional>

#include "datasets/keyed_permutation.h"
#include "datasets/loader.h"
#include "datasets/sample_order.h"

namespace ganymede {
namespace {

/// Calls `read(k)`, which says how many images it read, for k = 0, 1, ... below `most`; images a second.
double rate_of(std::int64_t most, std::chrono::milliseconds time,
               const std::function<std::int64_t(std::int64_t)>& read) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::int64_t images = 0;
  for (std::int64_t k = 0; k < most && (k == 0 || Clock::now() - start < time); ++k) images += read(k);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return static_cast<double>(images) / std::max(seconds, 1e-9);
}

double decoding_rate(const ImageDataset& dataset, std::chrono::milliseconds time) {
  const auto coded = std::max_element(
      dataset.files().begin(), dataset.files().end(),
      [](const DatasetFile& a, const DatasetFile& b) { return a.decoded_together() < b.decoded_together(); });
  const std::int64_t rows = coded->layout().images.blocks();
  const KeyedPermutation permutation(rows, 0);
  return rate_of(rows, time, [&](std::int64_t k) {
    return static_cast<std::int64_t>(coded->verify_block(permutation(k)).size()) / dataset.image_bytes();
  });
}

/// Of images that are read singly.
double single_rate(const ImageDataset& dataset, std::chrono::milliseconds time) {
  constexpr std::int64_t batch = 64;
  const SampleOrder order(dataset.size(), 0, Loader::order_options(dataset));
  std::vector<std::byte> image(static_cast<std::size_t>(dataset.image_bytes()));
  return rate_of((dataset.size() + batch - 1) / batch, time, [&](std::int64_t k) {
    for (const std::int64_t index : order.batch(k * batch, batch)) dataset.read(index, image);
    return batch;
  });
}

}  // namespace

ReadingRate predict_reading(const ImageDataset& dataset, std::chrono::milliseconds time) {
  const std::int64_t together = dataset.decoded_together();
  const bool coded = std::any_of(dataset.files().begin(), dataset.files().end(),
                                 [](const DatasetFile& file) { return file.is_coded(); });
  if (!coded) return {.images_per_second = single_rate(dataset, time)};
  const SampleOrder::Options options = Loader::order_options(dataset);
  const std::int64_t window = SampleOrder(dataset.size(), 0, options).window_of(0, 0).count;
  const std::int64_t groups = (window + together - 1) / together + 1;
  const std::int64_t all = dataset.size() * dataset.image_bytes();
  ReadingRate rate;
  rate.decoded_per_second = decoding_rate(dataset, time);
  rate.held_bytes =
      together == 1 ? 0 : std::min(all, options.lanes * groups * together * dataset.image_bytes());
  const bool fits = rate.held_bytes <= dataset.cache_bytes();
  rate.images_per_second = rate.decoded_per_second / static_cast<double>(fits ? 1 : together);
  return rate;
}

}  // namespace ganymede
