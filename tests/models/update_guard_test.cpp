#include "models/update_guard.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

struct Followed {
  explicit Followed(bool scales = true) : guard(at::kCPU, scales) {}
  void take(bool finite, std::int64_t times = 1) {
    for (std::int64_t i = 0; i < times; ++i) has_hope = guard.follow(at::scalar_tensor(finite, at::kBool)).item<bool>();
  }
  double value() const { return guard.scale().item<double>(); }
  double skipped() const { return guard.skipped().item<double>(); }

  UpdateGuard guard;
  bool has_hope = true;
};

TEST(UpdateGuard, LosesHopeAfterAFew) {
  for (const bool scales : {false, true}) {
    Followed run(scales);
    if (scales) at::Tensor(run.guard.scale()).fill_(UpdateGuard::least);
    run.take(true, UpdateGuard::atonement);  // not in advance
    run.take(false, UpdateGuard::patience);
    EXPECT_TRUE(run.has_hope);
    run.take(true, UpdateGuard::atonement);  // for one
    run.take(false);
    EXPECT_TRUE(run.has_hope);
    run.take(true, UpdateGuard::atonement - 1);
    run.take(false);
    EXPECT_FALSE(run.has_hope);
    run.guard.forgive();
    run.take(false, UpdateGuard::patience);
    EXPECT_TRUE(run.has_hope);
    EXPECT_EQ(run.skipped(), 2 * UpdateGuard::patience + 2);
  }
}

TEST(UpdateGuard, KeepsHopeWhileTheScaleCanFall) {
  Followed run;
  run.take(false, 16);  // from 2^16
  EXPECT_EQ(run.value(), UpdateGuard::least);
  run.take(false, UpdateGuard::patience);
  EXPECT_TRUE(run.has_hope);
  run.take(false);
  EXPECT_FALSE(run.has_hope);
}

TEST(UpdateGuard, WithoutAScaleItIsOneForEver) {
  Followed run(false);
  run.take(false);
  run.take(true, 2 * UpdateGuard::growth_interval);
  EXPECT_EQ(run.value(), 1);
  EXPECT_EQ(run.guard.kept().item<double>(), 1);
}

TEST(UpdateGuard, HalvesAndSkipsWhereAGradientOverflows) {
  Followed run;
  EXPECT_EQ(run.value(), UpdateGuard::first);
  run.take(false, 2);
  EXPECT_EQ(run.value(), UpdateGuard::first / 4);
  EXPECT_EQ(run.skipped(), 2);
  EXPECT_TRUE(run.guard.is_skipped().item<bool>());
  EXPECT_TRUE(at::equal(run.guard.gate(), at::tensor({1., 2.}, at::kDouble)));
  run.take(true);
  EXPECT_EQ(run.value(), UpdateGuard::first / 4);
  EXPECT_TRUE(at::equal(run.guard.gate(), at::tensor({0., 2.}, at::kDouble)));
}

TEST(UpdateGuard, DoublesAfterARunOfGoodUpdates) {
  Followed run;
  run.take(true, UpdateGuard::growth_interval - 1);
  EXPECT_EQ(run.value(), UpdateGuard::first);
  run.take(false);  // begins the run anew
  run.take(true, UpdateGuard::growth_interval - 1);
  EXPECT_EQ(run.value(), UpdateGuard::first / 2);
  run.take(true);
  EXPECT_EQ(run.value(), UpdateGuard::first);
  run.take(true, UpdateGuard::growth_interval - 1);
  EXPECT_EQ(run.value(), UpdateGuard::first);
  run.take(true);
  EXPECT_EQ(run.value(), UpdateGuard::first * 2);
}

TEST(UpdateGuard, StaysWithinItsBounds) {
  Followed low, high;
  low.take(false, 40);
  EXPECT_EQ(low.value(), UpdateGuard::least);
  at::Tensor(high.guard.scale()).fill_(UpdateGuard::largest);
  high.take(true, UpdateGuard::growth_interval);
  EXPECT_EQ(high.value(), UpdateGuard::largest);
}

TEST(UpdateGuard, CopyingTheStateGoesOn) {
  Followed one, other;
  one.take(false);
  one.take(true, UpdateGuard::growth_interval - 1);
  const NamedTensors from = one.guard.state(), to = other.guard.state();
  for (std::size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].second).copy_(from[i].second);
  one.take(true);
  other.take(true);
  EXPECT_EQ(other.value(), UpdateGuard::first);
  EXPECT_TRUE(at::equal(one.guard.figures(), other.guard.figures()));
}

}  // namespace
}  // namespace ganymede
