#include "models/loss_scale.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

struct Followed {
  LossScale scale{at::kCPU};
  void take(bool finite, std::int64_t times = 1) {
    for (std::int64_t i = 0; i < times; ++i) scale.follow(at::scalar_tensor(finite, at::kBool));
  }
  double value() const { return scale.scale().item<double>(); }
  double skipped() const { return scale.skipped().item<double>(); }
};

TEST(LossScale, HalvesAndSkipsWhereAGradientOverflows) {
  Followed run;
  EXPECT_EQ(run.value(), LossScale::first);
  run.take(false, 2);
  EXPECT_EQ(run.value(), LossScale::first / 4);
  EXPECT_EQ(run.skipped(), 2);
  EXPECT_TRUE(run.scale.is_skipped().item<bool>());
  EXPECT_TRUE(at::equal(run.scale.gate(), at::tensor({1., 2.}, at::kDouble)));
  run.take(true);
  EXPECT_EQ(run.value(), LossScale::first / 4);
  EXPECT_TRUE(at::equal(run.scale.gate(), at::tensor({0., 2.}, at::kDouble)));
}

TEST(LossScale, DoublesAfterARunOfGoodUpdates) {
  Followed run;
  run.take(true, LossScale::growth_interval - 1);
  EXPECT_EQ(run.value(), LossScale::first);
  run.take(false);  // begins the run anew
  run.take(true, LossScale::growth_interval - 1);
  EXPECT_EQ(run.value(), LossScale::first / 2);
  run.take(true);
  EXPECT_EQ(run.value(), LossScale::first);
  run.take(true, LossScale::growth_interval - 1);
  EXPECT_EQ(run.value(), LossScale::first);
  run.take(true);
  EXPECT_EQ(run.value(), LossScale::first * 2);
}

TEST(LossScale, StaysWithinItsBounds) {
  Followed low, high;
  low.take(false, 40);
  EXPECT_EQ(low.value(), LossScale::least);
  at::Tensor(high.scale.scale()).fill_(LossScale::largest);
  high.take(true, LossScale::growth_interval);
  EXPECT_EQ(high.value(), LossScale::largest);
}

TEST(LossScale, CopyingTheStateGoesOn) {
  Followed one, other;
  one.take(false);
  one.take(true, LossScale::growth_interval - 1);
  const NamedTensors from = one.scale.state(), to = other.scale.state();
  for (std::size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].second).copy_(from[i].second);
  one.take(true);
  other.take(true);
  EXPECT_EQ(other.value(), LossScale::first);
  EXPECT_TRUE(at::equal(one.scale.figures(), other.scale.figures()));
}

}  // namespace
}  // namespace ganymede
