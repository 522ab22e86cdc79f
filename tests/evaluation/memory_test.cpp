// How much memory scores take.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <numeric>
#include <thread>

#include "evaluation/evaluator.h"
#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// The most that `work` added to the process, looked at a thousand times a second.
template <class Work>
std::int64_t most_added(const Work& work) {
  const std::int64_t before = resident_bytes();
  std::atomic<std::int64_t> most = before;
  std::jthread watch([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      most = std::max(most.load(), resident_bytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  work();
  watch.request_stop();
  watch.join();
  return most - before;
}

/// Images that are made when they are read.
class MadeImages final : public ImageSet {
 public:
  MadeImages(std::int64_t count, std::int64_t side) {
    description_ = {
        .name = "made", .kind = "dataset", .count = count, .channels = 3, .height = side, .width = side};
  }
  void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) override {
    for (std::int64_t first = 0; first < std::ssize(indices); first += batch) {
      std::vector<std::int64_t> places(
          static_cast<std::size_t>(std::min(batch, std::ssize(indices) - first)));
      std::iota(places.begin(), places.end(), first);
      const at::Tensor images =
          at::empty({std::ssize(places), 3, description_.height, description_.width}, at::kByte);
      for (std::int64_t i = 0; i < images.size(0); ++i)
        images[i].fill_(indices[static_cast<std::size_t>(first + i)] % 251);
      take(places, images);
    }
  }
};

TEST(Memory, OfScoresOfPixelsIsBounded) {
  constexpr std::int64_t side = 256, megabyte = 1 << 20;
  test::LinearExtractor extractor;
  const auto score = [&](std::int64_t count) {
    MadeImages images(count, side), reference(count, side);
    Evaluator evaluator(test::world(), extractor,
                        {.metrics = {&find_metric("swd"), &find_metric("ssim")},
                         .batch = 16,
                         .most_pixel_bytes = 8 * megabyte});
    evaluator.set_reference(reference);
    evaluator.evaluate(images, 0);
  };
  constexpr std::int64_t count = 800, pixels = count * 3 * side * side;
  score(16);  // what a process loads once is there before
  const std::int64_t added = most_added([&] { score(count); });
  fmt::print("{} MB added\n", added / megabyte);
  // Two sets' pixels, as much again while levels are made, patches, and the working space.
  EXPECT_LT(added, 180 * megabyte);
  EXPECT_GT(2 * pixels, 290 * megabyte) << "what both sets would take in whole";
}

}  // namespace
}  // namespace ganymede
