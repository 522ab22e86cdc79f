#include "datasets/block_digests.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "tests/datasets/few_threads.h"

namespace ganymede {
namespace {

TEST(ParallelForEach, DoesEveryItemOnce) {
  for (const int threads : {1, 3, 100}) {
    std::vector<std::atomic<int>> done(50);
    parallel_for_each(50, threads, [&](std::int64_t i) { ++done[static_cast<std::size_t>(i)]; });
    for (const std::atomic<int>& times : done) EXPECT_EQ(times, 1);
  }
}

TEST(ParallelForEach, RethrowsTheFirstException) {
  EXPECT_THROW(parallel_for_each(50, 4,
                                 [](std::int64_t i) {
                                   if (i == 7) throw std::out_of_range("seven");
                                 }),
               std::out_of_range);
}

TEST(ParallelForEach, GoesOnWithTheThreadsThatStart) {
  for (const std::int64_t threads : {0, 3})
    EXPECT_EQ(with_threads(threads,
                           [] {
                             std::atomic<std::int64_t> sum = 0;
                             parallel_for_each(100, 20, [&](std::int64_t i) { sum += i; });
                             return std::to_string(sum);
                           }),
              "4950");
}

}  // namespace
}  // namespace ganymede
