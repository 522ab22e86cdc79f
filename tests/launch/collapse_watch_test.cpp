#include "launch/collapse_watch.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace ganymede {
namespace {

TEST(CollapseWatch, LooksAtSeveralImagesOfAClass) {
  using Classes = std::vector<std::int64_t>;
  EXPECT_EQ(watched_classes(0), Classes({}));
  EXPECT_EQ(watched_classes(1), Classes({0}));
  EXPECT_EQ(watched_classes(3), Classes({0, 1, 2}));
  EXPECT_EQ(watched_classes(10), Classes({0, 1, 2, 3, 5, 6, 7, 8}));
  EXPECT_EQ(watched_classes(1000), Classes({0, 125, 250, 375, 500, 625, 750, 875}));
}

TEST(CollapseWatch, SeesOneImageOfEachClass) {
  const at::Tensor labels = at::arange(12, at::kLong).remainder(3);
  const at::Tensor one_each = labels.to(at::kFloat).view({12, 1, 1, 1}).expand({12, 3, 2, 2});
  EXPECT_EQ(distance_within_classes(one_each, labels), 0);
  EXPECT_NEAR(distance_within_classes(one_each, at::zeros_like(labels)), (2 * 16 * 1 + 16 * 2) / 66.0, 1e-6);
  const at::Tensor all = at::arange(12, at::kFloat).view({12, 1, 1, 1}).expand({12, 3, 2, 2});
  EXPECT_NEAR(distance_within_classes(all, labels), 3 * (3 + 2 * 2 + 3) / 6.0, 1e-6) << "3, 6 and 9 apart";
  EXPECT_EQ(distance_within_classes(all.narrow(0, 0, 3), labels.narrow(0, 0, 3)), 0) << "no pairs";
}

}  // namespace
}  // namespace ganymede
