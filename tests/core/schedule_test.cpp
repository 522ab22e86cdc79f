#include "core/schedule.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

TEST(Schedule, IsOneByDefault) {
  for (const std::int64_t t : {1, 2, 1000, 1'000'000'000}) EXPECT_EQ(Schedule{}.factor(t), 1);
}

TEST(Schedule, WarmsUpLinearly) {
  const Schedule schedule{.warmup = 4};
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.25);
  EXPECT_DOUBLE_EQ(schedule.factor(3), 0.75);
  EXPECT_DOUBLE_EQ(schedule.factor(4), 1);
  EXPECT_DOUBLE_EQ(schedule.factor(5), 1);
}

TEST(Schedule, DecaysLinearlyBetweenTwoUpdates) {
  const Schedule schedule{
      .warmup = 2, .decay = "linear", .decay_from = 10, .decay_until = 20, .final_factor = 0.5};
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(10), 1);
  EXPECT_DOUBLE_EQ(schedule.factor(11), 0.95);
  EXPECT_DOUBLE_EQ(schedule.factor(15), 0.75);
  EXPECT_DOUBLE_EQ(schedule.factor(20), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(1000), 0.5);
}

TEST(Schedule, DecaysAsACosine) {
  const Schedule schedule{.decay = "cosine", .decay_from = 0, .decay_until = 300, .final_factor = 0.1};
  EXPECT_DOUBLE_EQ(schedule.factor(100), 0.1 + 0.9 * 0.75);
  EXPECT_DOUBLE_EQ(schedule.factor(150), 0.1 + 0.9 * 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(300), 0.1);
  EXPECT_DOUBLE_EQ(schedule.factor(400), 0.1);
}

TEST(Schedule, FallsAtOnceWhenTheDecayHasNoLength) {
  const Schedule schedule{.decay = "linear", .decay_from = 5, .decay_until = 5, .final_factor = 0.25};
  EXPECT_DOUBLE_EQ(schedule.factor(5), 1);
  EXPECT_DOUBLE_EQ(schedule.factor(6), 0.25);
}

}  // namespace
}  // namespace ganymede
