#include "datasets/loader.h"

#include <ATen/ATen.h>
#include <sched.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "core/error.h"
#include "datasets/shrink.h"

namespace ganymede {
namespace {

const LoaderOptions& checked(const LoaderOptions& options, const ImageDataset& dataset) {
  const ElementType type = dataset.type();
  if (options.shrink < 1 || dataset.height() % options.shrink != 0 || dataset.width() % options.shrink != 0)
    throw std::logic_error("loader: images of a size that cannot be shrunk");
  if (options.shrink > 1 && options.companions.sources != CompanionNeeds::Sources::none)
    throw std::logic_error("loader: a second image set cannot be shrunk");
  if (options.raw && type != ElementType::uint8) throw std::logic_error("loader: raw images of another type");
  if (options.micro_batch < 1 || options.world_size < 1 || options.rank < 0 ||
      options.rank >= options.world_size || options.position < 0 || options.threads < 0)
    throw std::logic_error("loader: micro-batch, rank, position or threads out of range");
  return options;
}

/// Few, for the cores are there for the networks, and another rank may count the same ones.
int threads_of(const LoaderOptions& options) {
  if (options.threads > 0) return options.threads;
  cpu_set_t cores;
  const int count = ::sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::clamp(count / 4, 1, 4);
}

}  // namespace

/// A micro-batch to be made, and this rank's part of it.
struct Loader::Task {
  std::int64_t position;
  std::vector<std::int64_t> samples;
  Companions::Rows companions;
};

SampleOrder::Options Loader::order_options(const ImageDataset& dataset) {
  return SampleOrder::options_for(dataset.size(), dataset.image_bytes(), dataset.decoded_together());
}

Loader::Loader(const ImageDataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(checked(options, dataset)),
      share_(share_of(options.micro_batch, options.rank, options.world_size)),
      order_(dataset.size(), options.seed, options.order.value_or(order_options(dataset))),
      values_(dataset.type(), dataset.low(), dataset.high()),
      height_(dataset.height() / options.shrink),
      width_(dataset.width() / options.shrink),
      flips_({.seed = options.seed, .reseed = options.reseed, .phase = "data", .stream = "flip"}),
      threads_(threads_of(options)),
      room_((std::max(1, options.prefetch) + threads_) * options.micro_batch),
      readahead_(dataset, order_),
      companions_(dataset, order_,
                  {options.companions, options.micro_batch, share_, options.seed, options.reseed,
                   options.flip, options.dtype}),
      taken_(options.position),
      given_(options.position) {
  workers_.reserve(static_cast<std::size_t>(threads_));
  try {
    for (int i = 0; i < threads_; ++i) workers_.emplace_back([this] { run(); });
  } catch (const std::system_error& error) {
    // Those that started do the work.
    if (workers_.empty())
      fail(ExitCode::memory, "cannot start a thread that reads: {}: raise the limit of processes (ulimit -u)",
           error.what());
  }
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

Batch Loader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_.contains(given_); });
  const auto found = ready_.find(given_);
  if (const auto* error = std::get_if<std::exception_ptr>(&found->second)) std::rethrow_exception(*error);
  Batch batch = std::move(std::get<Batch>(found->second));
  ready_.erase(found);
  given_ += options_.micro_batch;
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Loader::run() {
  while (std::optional<Task> task = next_task()) {
    Result result;
    try {
      result = load(*task);
    } catch (...) {
      result = std::current_exception();
    }
    put(task->position, std::move(result));
  }
}

std::optional<Loader::Task> Loader::next_task() {
  const std::lock_guard turn(turn_);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || taken_ - given_ < room_; });
    if (stop_) return std::nullopt;
  }
  Task task{taken_, {}, {}};
  taken_ += options_.micro_batch;
  try {
    const std::vector<SampleOrder::Place> all = order_.places(task.position, options_.micro_batch);
    const auto places = std::span(all).subspan(static_cast<std::size_t>(share_.first),
                                               static_cast<std::size_t>(share_.count));
    readahead_.follow(places);
    task.samples = order_.samples_at(places);
    task.companions = companions_.take(task.position, all, task.samples);
  } catch (...) {
    put(task.position, std::current_exception());
    return std::nullopt;
  }
  return task;
}

void Loader::put(std::int64_t position, Result result) {
  {
    const std::lock_guard lock(mutex_);
    ready_.emplace(position, std::move(result));
  }
  changed_.notify_all();
}

Batch Loader::load(const Task& task) {
  Batch batch;
  batch.position = task.position;
  batch.share = share_;
  batch.images = image_memory();
  batch.labels = at::empty({share_.count}, at::kLong);
  if (options_.raw) batch.flips = at::empty({share_.count}, at::kBool);
  auto* out = static_cast<std::byte*>(batch.images.data_ptr());
  const std::size_t stride =
      static_cast<std::size_t>(dataset_.channels() * height_ * width_) * batch.images.element_size();
  Workplace place;
  place.stored.resize(static_cast<std::size_t>(dataset_.image_bytes()));
  if (options_.shrink > 1)
    place.shrunk.resize(place.stored.size() / static_cast<std::size_t>(options_.shrink * options_.shrink));
  for (std::int64_t row = 0; row < share_.count && !stop_; ++row) {
    const std::int64_t index = task.samples[static_cast<std::size_t>(row)];
    if (row + 2 < share_.count) dataset_.prefetch(task.samples[static_cast<std::size_t>(row + 2)]);
    const bool flip = is_flipped(task.position + share_.first + row);
    if (options_.raw) batch.flips.data_ptr<bool>()[row] = flip;
    load_image(index, flip, place, out + static_cast<std::size_t>(row) * stride);
    batch.labels.data_ptr<std::int64_t>()[row] = dataset_.labels()[static_cast<std::size_t>(index)];
  }
  if (!stop_) companions_.load(task.companions, batch);
  return batch;
}

/// Fresh memory costs a page fault every 4 KiB, which can take several times as long as filling it.
at::Tensor Loader::image_memory() {
  const std::lock_guard lock(mutex_);
  for (const at::Tensor& tensor : pool_)
    if (tensor.use_count() == 1 && tensor.storage().use_count() == 1) {
      std::atomic_thread_fence(std::memory_order_acquire);  // after the last reader's release
      return tensor.detach();
    }
  at::Tensor fresh = at::empty(
      {share_.count, dataset_.channels(), height_, width_},
      at::TensorOptions(options_.raw ? at::kByte : options_.dtype)
          .memory_format(options_.raw ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast));
  if (pool_.size() < static_cast<std::size_t>(std::max(1, options_.prefetch) + 2 + threads_))
    pool_.push_back(fresh);
  return fresh.detach();
}

bool Loader::is_flipped(std::int64_t position) const {
  return options_.flip && flips_.bits(static_cast<std::uint64_t>(position), 0) >> 63;
}

void Loader::load_image(std::int64_t index, bool flip, Workplace& place, std::byte* out) {
  dataset_.verify_block_of(index);
  const bool shrinks = options_.shrink > 1;
  if (options_.raw && !shrinks) return dataset_.read(index, {out, place.stored.size()});
  dataset_.read(index, place.stored);
  if (const std::int64_t bad = values_.first_bad(place.stored); bad >= 0)
    fail(ExitCode::dataset, "{} (sample {}) holds {}; expected numbers in [{}, {}]", dataset_.where(index),
         index, values_.value(place.stored, bad), dataset_.low(), dataset_.high());
  if (shrinks)
    shrink_image(dataset_.type(), place.stored, dataset_.channels(), dataset_.height(), dataset_.width(),
                 options_.shrink, options_.raw ? out : place.shrunk.data());
  if (options_.raw) return;
  values_.convert(shrinks ? place.shrunk : place.stored, dataset_.channels(), height_, width_, flip,
                  options_.dtype, out);
}

}  // namespace ganymede
