#include "datasets/loader.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "core/error.h"

namespace ganymede {
namespace {

const LoaderOptions& checked(const LoaderOptions& options) {
  if (options.micro_batch < 1 || options.world_size < 1 || options.rank < 0 ||
      options.rank >= options.world_size || options.position < 0)
    throw std::logic_error("loader: micro-batch, rank or position out of range");
  return options;
}

}  // namespace

Loader::Loader(const ImageDataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(checked(options)),
      share_(share_of(options.micro_batch, options.rank, options.world_size)),
      order_(dataset.size(), options.seed, SampleOrder::options_for(dataset.size(), dataset.image_bytes())),
      values_(dataset.type(), dataset.low(), dataset.high()),
      flips_({.seed = options.seed, .reseed = options.reseed, .phase = "data", .stream = "flip"}),
      readahead_(dataset, order_),
      bytes_(static_cast<std::size_t>(dataset.image_bytes())),
      thread_([this] { run(); }) {}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Batch Loader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Loader::run() {
  const auto room = static_cast<std::size_t>(std::max(1, options_.prefetch));
  try {
    for (std::int64_t position = options_.position; !stopped(); position += options_.micro_batch) {
      Batch batch = load(position);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || ready_.size() < room; });
      if (stop_) return;
      ready_.push_back(std::move(batch));
      lock.unlock();
      changed_.notify_all();
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    changed_.notify_all();
  }
}

bool Loader::stopped() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

Batch Loader::load(std::int64_t position) {
  const std::vector<SampleOrder::Place> all = order_.places(position, options_.micro_batch);
  const std::span<const SampleOrder::Place> places(all.data() + share_.first,
                                                   static_cast<std::size_t>(share_.count));
  readahead_.follow(places);
  Batch batch;
  batch.position = position;
  batch.share = share_;
  batch.images = image_memory();
  batch.labels = at::empty({share_.count}, at::kLong);
  auto* out = static_cast<std::byte*>(batch.images.data_ptr());
  const std::size_t stride =
      static_cast<std::size_t>(dataset_.channels() * dataset_.height() * dataset_.width()) *
      batch.images.element_size();
  for (std::int64_t row = 0; row < share_.count && !stopped(); ++row) {
    const std::int64_t index = order_.sample_at(places[static_cast<std::size_t>(row)]);
    load_image(index, position + share_.first + row, out + static_cast<std::size_t>(row) * stride);
    batch.labels.data_ptr<std::int64_t>()[row] = dataset_.labels()[static_cast<std::size_t>(index)];
  }
  return batch;
}

/// Fresh memory costs a page fault every 4 KiB, which can take several times as long as filling it.
at::Tensor Loader::image_memory() {
  for (const at::Tensor& tensor : pool_)
    if (tensor.use_count() == 1 && tensor.storage().use_count() == 1) {
      std::atomic_thread_fence(std::memory_order_acquire);  // after the last reader's release
      return tensor.detach();
    }
  at::Tensor fresh =
      at::empty({share_.count, dataset_.channels(), dataset_.height(), dataset_.width()},
                at::TensorOptions(options_.dtype).memory_format(at::MemoryFormat::ChannelsLast));
  if (pool_.size() < static_cast<std::size_t>(std::max(1, options_.prefetch)) + 3) pool_.push_back(fresh);
  return fresh.detach();
}

void Loader::load_image(std::int64_t index, std::int64_t position, void* out) {
  dataset_.verify_block_of(index);
  dataset_.read(index, bytes_);
  if (const std::int64_t bad = values_.first_bad(bytes_); bad >= 0)
    fail(ExitCode::dataset, "{} (sample {}) holds {}; expected numbers in [{}, {}]", dataset_.where(index),
         index, values_.value(bytes_, bad), dataset_.low(), dataset_.high());
  const bool flip = options_.flip && flips_.bits(static_cast<std::uint64_t>(position), 0) >> 63;
  values_.convert(bytes_, dataset_.channels(), dataset_.height(), dataset_.width(), flip, options_.dtype,
                  out);
}

}  // namespace ganymede
