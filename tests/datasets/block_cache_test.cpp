#include "datasets/block_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace ganymede {
namespace {

class BlockCacheTest : public testing::Test {
 protected:
  /// The block of 100 bytes that are all `key`, and how often it was made so far.
  BlockCache::Block get(std::int64_t key) {
    return cache.get({0, key}, 100, [&](std::span<std::byte> bytes) {
      ++made;
      std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(key));
    });
  }

  BlockCache cache{300};
  std::atomic<int> made = 0;
};

TEST_F(BlockCacheTest, KeepsTheBlocksUsedLast) {
  for (const std::int64_t key : {1, 2, 3, 1, 2, 3})
    EXPECT_EQ(get(key).get()[99], static_cast<std::byte>(key));
  EXPECT_EQ(made, 3);
  get(1);
  get(4);  // 2 goes
  EXPECT_EQ(made, 4);
  get(1);
  get(3);
  EXPECT_EQ(made, 4);
  get(2);
  EXPECT_EQ(made, 5);
}

TEST_F(BlockCacheTest, LeavesBlocksInUseAlone) {
  const BlockCache::Block held = get(7);
  for (std::int64_t key = 10; key < 30; ++key) get(key);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(held.get()[i], std::byte{7});
}

TEST_F(BlockCacheTest, HoldsABlockThatIsLargerThanItself) {
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(
        cache.get({1, 0}, 1000, [](std::span<std::byte> bytes) { bytes[999] = std::byte{5}; }).get()[999],
        std::byte{5});
}

TEST_F(BlockCacheTest, MakesABlockAnewAfterAFailure) {
  EXPECT_THROW(cache.get({0, 1}, 100, [](std::span<std::byte>) { throw std::runtime_error("no"); }),
               std::runtime_error);
  EXPECT_EQ(get(1).get()[0], std::byte{1});
}

TEST_F(BlockCacheTest, MakesABlockOnceForAllThreads) {
  BlockCache large(1 << 20);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0, made_large = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (std::int64_t round = 0; round < 2000; ++round) {
        const std::int64_t key = round % 50;
        const auto block = large.get({0, key}, 100, [&](std::span<std::byte> bytes) {
          ++made_large;
          std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(key));
        });
        if (block.get()[50] != static_cast<std::byte>(key)) ++wrong;
        if (get(key).get()[50] != static_cast<std::byte>(key)) ++wrong;  // with blocks dropped all the time
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(made_large, 50);
}

}  // namespace
}  // namespace ganymede
