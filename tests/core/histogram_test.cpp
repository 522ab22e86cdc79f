#include "core/histogram.h"

#include <gtest/gtest.h>

#include <limits>

namespace ganymede {
namespace {

using List = std::vector<double>;

TEST(Histogram, CountsValuesBetweenEdges) {
  const auto found = histogram_of(at::tensor({0., 1., 1.5, 2., 3.9, 4.}), 4);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->edges, (List{0, 1, 2, 3, 4}));
  EXPECT_EQ(found->counts, (List{1, 2, 1, 2}));
  EXPECT_EQ(found->min, 0);
  EXPECT_EQ(found->max, 4);
  EXPECT_EQ(found->count(), 6);
  EXPECT_NEAR(found->sum, 12.4, 1e-6);
  EXPECT_NEAR(found->sum_of_squares, 1 + 2.25 + 4 + 15.21 + 16, 1e-5);
}

TEST(Histogram, EqualValuesHaveRoomAround) {
  const auto found = histogram_of(at::full({3}, 2.0), 2);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->edges, (List{1.5, 2, 2.5}));
  EXPECT_EQ(found->counts, (List{0, 3}));
}

TEST(Histogram, LeavesOutWhatIsNoNumber) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(histogram_of(at::tensor({none, 1., 2., 1. / 0.}), 2)->counts, (List{1, 1}));
  EXPECT_FALSE(histogram_of(at::tensor({none})));
  EXPECT_FALSE(histogram_of(at::empty({0})));
}

TEST(Histogram, TakesABoundedPartOfManyValues) {
  const at::Tensor many = at::arange(10000, at::kDouble).reshape({10, 10, 10, 10});
  EXPECT_EQ(histogram_of(many, 10, 10000)->count(), 10000);
  const auto part = histogram_of(many.contiguous(at::MemoryFormat::ChannelsLast), 10, 999);
  EXPECT_LE(part->count(), 999);
  EXPECT_GT(part->count(), 800);
  for (const double count : part->counts) EXPECT_NEAR(count, part->count() / 10, 15);
  EXPECT_EQ(histogram_of(many.select(1, 3), 10, 10000)->count(), 1000) << "a view with gaps";
}

}  // namespace
}  // namespace ganymede
