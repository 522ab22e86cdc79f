#include <chrono>

#include "datasets/image_dataset.h"
#include "launch/doctor/checks.h"
#include "launch/text.h"

namespace ganymede {
namespace {

constexpr std::int64_t images_a_rank = 8;

/// Reads a few images from all over the dataset, each rank others, and holds them against their digests. Seconds an
/// image.
double read_some(const ImageDataset& dataset, int rank, int ranks) {
  std::vector<std::byte> image(static_cast<std::size_t>(dataset.image_bytes()));
  const std::int64_t parts = images_a_rank * ranks, count = std::min(images_a_rank, dataset.size());
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t index = (i * ranks + rank) * dataset.size() / parts;
    dataset.verify_block_of(index);
    dataset.read(index, image);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
         static_cast<double>(count);
}

}  // namespace

Verdict examine_dataset(ExaminedJob& job) {
  Process& process = job.process();
  if (job.request().data.empty()) return skipped("--data F.h5 has the dataset looked at");
  const std::string layout = process.from_root([&] { return ImageDataset::inspect(job.request().data); });
  std::optional<ImageDataset> dataset;
  double seconds = 0;
  // As training opens it: each rank by rank 0's path, and against what rank 0 has found there.
  if (auto failed = job.failures_of([&] {
        dataset.emplace(
            ImageDataset::attach(layout, ImageDataset::default_cache(process.world().local_size())));
        seconds = read_some(*dataset, process.rank(), process.size());
      }))
    return *failed;
  const std::vector<double> all = job.gather(seconds);
  const auto slowest = std::ranges::max_element(all);
  return all_well(fmt::format(
      "{} images of {} x {} x {}, {}{}; {} read by each rank, {:.3g} ms each on the slowest ({})",
      with_thousands(dataset->size()), dataset->channels(), dataset->height(), dataset->width(),
      dataset->has_digests() ? "digest " + dataset->digest() : "without digests",
      process.size() > 1 ? ", the same on all ranks" : "", std::min(images_a_rank, dataset->size()),
      1e3 * *slowest, job.place(static_cast<int>(slowest - all.begin()))));
}

}  // namespace ganymede
