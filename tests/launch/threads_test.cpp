#include "launch/threads.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace ganymede {
namespace {

int threads_of(const std::vector<std::string>& places) {
  return threads_each(places);
}

TEST(Threads, CoresAreSharedAmongTheRanksThatMayUseThem) {
  EXPECT_EQ(threads_of({"8 a 0-7"}), 8);
  EXPECT_EQ(threads_of({"8 a 0-7", "8 a 0-7"}), 4);
  EXPECT_EQ(threads_of({"4 a 0-3", "4 a 4-7"}), 4);
  EXPECT_EQ(threads_of({"8 a 0-7", "8 b 0-7"}), 8);
  EXPECT_EQ(threads_of({"2 a 0-1", "2 a 0-1", "2 a 0-1"}), 1);
}

// Three ranks on one machine and one on another: replicas must round alike.
TEST(Threads, AllRanksHaveAsManyAsTheOneWithTheFewest) {
  EXPECT_EQ(threads_of({"9 a 0-8", "9 a 0-8", "9 a 0-8", "9 b 0-8"}), 3);
  EXPECT_EQ(threads_of({"4 a 0-3", "2 a 4-5"}), 2);
}

TEST(Threads, APlaceIsWhatTheProcessMayUse) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const std::string free = place_of_this_process();
  EXPECT_EQ(std::stoi(free), CPU_COUNT(&before));
  int cpu = 0;
  while (!CPU_ISSET(cpu, &before)) ++cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  std::string bound;
  // A thread of its own: what it is bound to goes with it.
  std::thread([&] {
    if (sched_setaffinity(0, sizeof one, &one) == 0) bound = place_of_this_process();
  }).join();
  EXPECT_TRUE(bound.starts_with("1 ")) << bound;
  EXPECT_TRUE(bound.ends_with(fmt::format(" {},", cpu))) << bound;
}

TEST(Threads, AWishGoesBeforeTheShare) {
  Process process;
  set_threads(process, 3);
  EXPECT_EQ(at::get_num_threads(), 3);
  set_threads(process, 0);
  EXPECT_EQ(at::get_num_threads(), std::stoi(place_of_this_process()));
}

}  // namespace
}  // namespace ganymede
