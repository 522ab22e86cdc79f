#include "datasets/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace ganymede {
namespace {

TEST(WorkQueue, HandsOutEveryItemOnce) {
  WorkQueue<int> queue(10);
  std::atomic<int> sum = 0;
  std::atomic<int> count = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i)
    workers.emplace_back([&] {
      while (const auto item = queue.pop()) {
        sum += *item;
        ++count;
      }
    });
  for (int i = 1; i <= 1000; ++i) EXPECT_TRUE(queue.push(i, i % 20));  // some larger than the whole limit
  queue.close();
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(sum, 500500);
}

TEST(WorkQueue, MakesTheReaderWait) {
  WorkQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 6));
  std::atomic<bool> pushed = false;
  std::thread reader([&] {
    queue.push(2, 6);
    pushed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(pushed);
  EXPECT_EQ(queue.pop(), 1);
  reader.join();
  EXPECT_TRUE(pushed);
}

TEST(WorkQueue, CancelReleasesEverybody) {
  WorkQueue<int> queue(1);
  EXPECT_TRUE(queue.push(1, 1));
  std::thread reader([&] { EXPECT_FALSE(queue.push(2, 1)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  queue.cancel();
  reader.join();
  EXPECT_EQ(queue.pop(), std::nullopt);
}

}  // namespace
}  // namespace ganymede
