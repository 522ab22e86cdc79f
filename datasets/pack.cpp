#include "datasets/pack.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "datasets/image_source.h"
#include "datasets/work_queue.h"

namespace ganymede {
namespace {

constexpr std::int64_t largest_side = 16384;
constexpr std::size_t queue_bytes = 64 << 20;

void check(const PackOptions& options) {
  if (options.size && (*options.size < 1 || *options.size > largest_side))
    fail(ExitCode::options, "--size {}: 1 to {} pixels", *options.size, largest_side);
  if (options.channels && *options.channels != 1 && *options.channels != 3)
    fail(ExitCode::options, "--channels {}: 1 or 3", *options.channels);
  if (options.range && !(std::isfinite(options.range->low) && std::isfinite(options.range->high) &&
                         options.range->low < options.range->high))
    fail(ExitCode::options, "--range {},{}: two finite numbers, the smaller one first", options.range->low,
         options.range->high);
  std::error_code unknown;  // what cannot be looked at cannot be written either: the writer says why
  if (!options.force && std::filesystem::exists(options.out, unknown))
    fail(ExitCode::options, "{} exists: choose another name, or --force to replace it", options.out.string());
}

/// Turns stored images into planes of one shape.
class Conversion {
 public:
  Conversion(const PackOptions& options, ImageSource& source) : options_(options), source_(source) {
    crop_ = options.crop.value_or(options.size ? Crop::center : Crop::none);
    Picture first = fit(source.decode(0, source.first(), options.channels.value_or(0)));
    first.values.clear();
    shape_ = first;
    enlarged_ = 0;
    if (shape_.type == ElementType::uint8) {
      if (options.range)
        fail(ExitCode::options, "--range is for floating point data: leave it out, bytes are 0 to 255");
    } else {
      choose_range();
    }
  }

  DatasetDescription description() const {
    const SourceContents& contents = source_.contents();
    return {.type = shape_.type,
            .count = source_.count(),
            .channels = shape_.channels,
            .height = shape_.height,
            .width = shape_.width,
            .low = range_.low,
            .high = range_.high,
            .class_names = contents.class_names,
            .provenance = provenance(),
            .pyramid = options_.pyramid};
  }

  std::size_t image_bytes() const { return static_cast<std::size_t>(shape_.bytes()); }
  std::int64_t enlarged() const { return enlarged_; }

  /// The image as planes. Any thread.
  void convert(std::int64_t index, std::span<const std::byte> stored, std::span<std::byte> planes) {
    // Grey becomes colour without loss; colour becomes grey only when asked.
    const int channels = options_.channels.value_or(shape_.channels == 3 ? 3 : 0);
    Picture picture = source_.decode(index, stored, channels);
    if (shape_.type != ElementType::uint8) check_range(index, picture);
    picture = fit(std::move(picture));
    if (picture.channels != shape_.channels)
      fail(ExitCode::dataset, "{} has colours, {} is grey: choose --channels 1 or --channels 3",
           source_.name_of_image(index), source_.name_of_image(0));
    if (picture.width != shape_.width || picture.height != shape_.height)
      fail(ExitCode::dataset, "{} has {} x {} pixels, {} has {} x {}: give --size to make them alike",
           source_.name_of_image(index), picture.width, picture.height, source_.name_of_image(0),
           shape_.width, shape_.height);
    if (shape_.type != ElementType::uint8) clamp_values(shape_.type, picture.values, range_);
    to_planes(picture, planes);
  }

 private:
  Picture fit(Picture picture) {
    if (crop_ == Crop::center) picture = crop_to_square(std::move(picture));
    if (!options_.size) return picture;
    if (picture.width < *options_.size || picture.height < *options_.size) ++enlarged_;
    return resize(std::move(picture), *options_.size, *options_.size, options_.filter);
  }

  void choose_range() {
    const std::optional<ValueRange> range = options_.range ? options_.range : source_.scan_range();
    range_ = rounded_to(shape_.type, *range);
    if (!(range_.low < range_.high) || !std::isfinite(range_.high - range_.low))
      fail(ExitCode::dataset, "{} has values from {} to {}: give --range LOW,HIGH that {} can hold",
           options_.source.string(), range_.low, range_.high, name_of(shape_.type));
  }

  void check_range(std::int64_t index, const Picture& picture) const {
    const ValueRange values = range_of(picture.type, picture.values);
    if (std::isnan(values.low))
      fail(ExitCode::dataset, "{} holds a value that is not finite: mend or remove it",
           source_.name_of_image(index));
    if (values.low < range_.low || values.high > range_.high)
      fail(ExitCode::dataset, "{} has values from {} to {}, outside {} to {}: widen --range or leave it out",
           source_.name_of_image(index), values.low, values.high, range_.low, range_.high);
  }

  std::map<std::string, std::string> provenance() const {
    // The name alone: a file that is passed on need not tell where it was made.
    std::filesystem::path path = std::filesystem::absolute(options_.source).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    std::map<std::string, std::string> entries{{"source", path.filename().string()},
                                               {"writer", "ganymede dataset pack"},
                                               {"crop", crop_ == Crop::center ? "center" : "none"}};
    if (!options_.subdir.empty()) entries["subdir"] = options_.subdir;
    entries["resizer"] =
        options_.size ? fmt::format("{} to {}", name_of(options_.filter), *options_.size) : "none";
    return entries;
  }

  const PackOptions& options_;
  ImageSource& source_;
  Crop crop_ = Crop::none;
  Picture shape_;  ///< of every image; holds no values
  ValueRange range_;
  std::atomic<std::int64_t> enlarged_ = 0;
};

struct Stored {
  std::int64_t index;
  std::vector<std::byte> bytes;
};

/// One reader and several decoders. The first failure stops all; of several that of the lowest image is told.
class Crew {
 public:
  Crew(ImageSource& source, Conversion& conversion, DatasetWriter& writer, int decoders)
      : source_(source), conversion_(conversion), writer_(writer) {
    threads_.reserve(static_cast<std::size_t>(decoders) + 1);
    try {
      threads_.emplace_back([this] { guarded(-1, [this] { read(); }); });
      for (; started_ < decoders; ++started_) threads_.emplace_back([this] { decode(); });
    } catch (const std::system_error& error) {
      if (started_ > 0) return;  // those do the work
      join();
      fail(ExitCode::memory,
           "cannot start a thread to pack with: {}: raise the limits of processes and memory", error.what());
    }
  }
  ~Crew() { join(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  std::int64_t done() const { return done_; }

  /// Whether all decoders have ended, after waiting for it a while.
  bool wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, time, [&] { return decoded_ == started_; });
  }

  void finish() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void read() {
    source_.read([this](std::int64_t index, std::vector<std::byte> bytes) {
      const std::size_t size = bytes.capacity();
      return queue_.push({index, std::move(bytes)}, size);
    });
    queue_.close();
  }

  void decode() {
    std::vector<std::byte> planes;
    guarded(-1, [&] { planes.resize(conversion_.image_bytes()); });
    while (const auto stored = queue_.pop())
      guarded(stored->index, [&] {
        conversion_.convert(stored->index, stored->bytes, planes);
        writer_.write_images(stored->index, planes);
        ++done_;
      });
    const std::lock_guard lock(mutex_);
    ++decoded_;
    ended_.notify_all();
  }

  template <class Work>
  void guarded(std::int64_t index, const Work& work) {
    try {
      work();
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        if (!failure_ || index < failed_) {
          failure_ = std::current_exception();
          failed_ = index;
        }
      }
      queue_.cancel();
    }
  }

  void join() {
    queue_.cancel();
    for (std::thread& thread : threads_) thread.join();
  }

  ImageSource& source_;
  Conversion& conversion_;
  DatasetWriter& writer_;
  WorkQueue<Stored> queue_{queue_bytes};
  std::atomic<std::int64_t> done_ = 0;
  std::mutex mutex_;
  std::condition_variable ended_;
  int started_ = 0;  ///< decoders
  int decoded_ = 0;  ///< decoders that have ended
  std::exception_ptr failure_;
  std::int64_t failed_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

double PackProgress::images_per_second() const {
  return seconds > 0 ? static_cast<double>(done) / seconds : 0;
}

double PackProgress::seconds_left() const {
  return done > 0 ? seconds / static_cast<double>(done) * static_cast<double>(total - done) : 0;
}

PackReport pack(const PackOptions& options, const PackProgressCallback& progress) {
  check(options);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto source = open_image_source(options.source, options.subdir);
  Conversion conversion(options, *source);
  PackReport report{.dataset = conversion.description(), .skipped = source->contents().skipped};
  DatasetWriter writer(options.out, report.dataset);

  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  Crew crew(*source, conversion, writer, options.threads > 0 ? options.threads : cores);
  bool ended = false;
  while (!ended) {
    ended = crew.wait(std::chrono::milliseconds(500));
    if (progress) progress({crew.done(), source->count(), seconds()});
  }
  crew.finish();

  writer.write_labels(source->contents().labels);
  writer.finish();
  for (const std::int64_t label : source->contents().labels) ++report.labels[label];
  report.enlarged = conversion.enlarged();
  report.seconds = seconds();
  return report;
}

}  // namespace ganymede
