#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "datasets/loader.h"

// bench_read FILE SECONDS THREADS: images a second, as one line of JSON, each measured for so many seconds
// after one pass that brings the file into the page cache and checks its digests:
//   pread            the images' bytes of a contiguous file from front to back, 1 MiB a call, one thread
//   order, order_1   bytes into batch memory in training order, on THREADS threads, on one
//   loader, loader_1 batches of floats with flips
namespace ganymede {
namespace {

constexpr std::int64_t batch = 64;

class Bench {
 public:
  Bench(const std::string& path, double seconds)
      : dataset_(ImageDataset::attach(ImageDataset::inspect({path}))), seconds_(seconds) {}

  nlohmann::json run(int threads) {
    warm();
    nlohmann::json result{
        {"threads", threads}, {"images", dataset_.size()}, {"image_bytes", dataset_.image_bytes()}};
    if (dataset_.files().front().layout().images.offset >= 0) result["pread"] = pread_rate();
    result["order"] = order_rate(threads);
    result["order_1"] = order_rate(1);
    result["loader"] = loader_rate(threads);
    result["loader_1"] = loader_rate(1);
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void warm() const {
    std::vector<std::byte> image(static_cast<std::size_t>(dataset_.image_bytes()));
    for (std::int64_t i = 0; i < dataset_.size(); ++i) {
      dataset_.verify_block_of(i);
      dataset_.read(i, image);
    }
  }

  /// Images a second of `work`, which says how many it read, called until the time is up.
  double rate(const std::function<std::int64_t()>& work) const {
    const auto start = Clock::now();
    std::int64_t images = 0;
    double spent = 0;
    while (spent < seconds_) {
      images += work();
      spent = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return static_cast<double>(images) / spent;
  }

  double pread_rate() const {
    const FileLayout& layout = dataset_.files().front().layout();
    const File file = File::open_for_reading(layout.path);
    std::vector<std::byte> buffer(1 << 20);
    std::int64_t at = 0;
    const double bytes = rate([&] {
      const std::int64_t count = std::min<std::int64_t>(layout.images.bytes - at, 1 << 20);
      file.read_at(layout.images.offset + at, std::span(buffer).first(static_cast<std::size_t>(count)));
      at = at + count == layout.images.bytes ? 0 : at + count;
      return count;
    });
    return bytes / static_cast<double>(dataset_.image_bytes());
  }

  /// Every thread takes the next batch of the order, as the loader's do.
  double order_rate(int threads) const {
    const SampleOrder order(dataset_.size(), 0, Loader::order_options(dataset_));
    std::atomic<std::int64_t> next = 0;
    std::vector<double> rates(static_cast<std::size_t>(threads));
    const auto work = [&](std::size_t thread) {
      std::vector<std::byte> images(static_cast<std::size_t>(batch * dataset_.image_bytes()));
      rates[thread] = rate([&] {
        std::byte* to = images.data();
        const std::vector<std::int64_t> samples = order.batch(batch * next++, batch);
        for (std::size_t i = 0; i < samples.size(); ++i) {
          if (i + 2 < samples.size()) dataset_.prefetch(samples[i + 2]);
          dataset_.verify_block_of(samples[i]);
          dataset_.read(samples[i], {to, static_cast<std::size_t>(dataset_.image_bytes())});
          to += dataset_.image_bytes();
        }
        return batch;
      });
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, static_cast<std::size_t>(i));
    work(0);
    for (std::thread& other : others) other.join();
    double sum = 0;
    for (const double one : rates) sum += one;
    return sum;
  }

  double loader_rate(int threads) const {
    Loader loader(dataset_, {.micro_batch = batch, .flip = true, .threads = threads});
    return rate([&] { return loader.next().share.count; });
  }

  ImageDataset dataset_;
  double seconds_;
};

}  // namespace
}  // namespace ganymede

int main(int, char** words) {
  try {
    ganymede::Bench bench(words[1], std::stod(words[2]));
    std::puts(bench.run(std::stoi(words[3])).dump().c_str());
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
