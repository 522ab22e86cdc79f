#include "distributed/synchronised_moments.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

GroupMoments joined_moments(const SpreadImages& images, const at::Tensor& whole) {
  std::vector<at::Tensor> means, variances;
  std::vector<std::int64_t> all_but_channels = {0};
  for (std::int64_t d = 2; d < whole.dim(); ++d) all_but_channels.push_back(d);
  for (std::int64_t g = 0; g < images.groups(); ++g) {
    const at::Tensor group = images.of_group(whole, g);
    means.push_back(group.mean(all_but_channels));
    variances.push_back(group.var(all_but_channels, /*unbiased=*/false));
  }
  return {at::stack(means), at::stack(variances)};
}

/// A loss in which no derivative vanishes: each image's moments, with weights and a curvature of their own.
at::Tensor loss_of(const GroupMoments& moments, const at::Tensor& groups, const at::Tensor& weights) {
  const at::Tensor mean = moments.mean.index_select(0, groups);
  const at::Tensor variance = moments.variance.index_select(0, groups);
  return (weights * ((mean + 0.3).sin() + (variance * mean.exp()).sqrt())).sum();
}

TEST(SynchronisedMoments, EqualTheJoinedBatchs) {
  for (const auto& [total, group] : test::cuts) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    const at::Tensor whole = images.draw({3, 4, 5}, "x") * 2 + 1;
    const GroupMoments moments = synchronised_moments(images.mine(whole), images.layout(), world());
    const GroupMoments expected = joined_moments(images, whole);
    EXPECT_LT(test::relative_error(moments.mean, expected.mean), 1e-12);
    EXPECT_LT(test::relative_error(moments.variance, expected.variance), 1e-12);
    EXPECT_TRUE(test::equal_on_all_ranks(at::stack({moments.mean, moments.variance})));
  }
}

TEST(SynchronisedMoments, GradientsEqualTheJoinedBatchs) {
  for (const auto& [total, group] : test::cuts) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    const at::Tensor whole = images.draw({3, 4, 5}, "x").set_requires_grad(true);
    const at::Tensor weights = images.draw({3}, "weights");
    const at::Tensor x = images.mine(whole).set_requires_grad(true);

    const at::Tensor mine =
        loss_of(synchronised_moments(x, images.layout(), world()),
                group_indices(images.count(), images.layout(), test::device()), images.mine(weights));
    const at::Tensor all = loss_of(joined_moments(images, whole),
                                   group_indices(total, {0, total, group}, test::device()), weights);
    const at::Tensor gradient = torch::autograd::grad({mine}, {x})[0];
    const at::Tensor expected = images.mine(torch::autograd::grad({all}, {whole})[0]);
    EXPECT_LT(test::relative_error(gradient, expected), 1e-12);
  }
}

TEST(SynchronisedMoments, DerivativesEqualDifferences) {
  for (const auto& [total, group] : {test::Cut{5, 5}, test::Cut{6, 3}, test::Cut{8, 2}}) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    const at::Tensor x = images.mine(images.draw({2, 2, 1}, "x")).set_requires_grad(true);
    const at::Tensor weights = images.mine(images.draw({2}, "weights"));
    const at::Tensor groups = group_indices(images.count(), images.layout(), test::device());
    const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
      return loss_of(synchronised_moments(at[0], images.layout(), world()), groups, weights);
    };
    EXPECT_LT(test::gradient_error(part, {x}), 1e-8);
    EXPECT_LT(test::second_gradient_error(part, {x}), 1e-7);
  }
}

TEST(SynchronisedMoments, TakeFeaturesWithoutPositions) {
  const SpreadImages images(8, 4);
  const at::Tensor whole = images.draw({3}, "x");
  const GroupMoments moments = synchronised_moments(images.mine(whole), images.layout(), world());
  const GroupMoments expected = joined_moments(images, whole);
  EXPECT_LT(test::relative_error(moments.mean, expected.mean), 1e-12);
  EXPECT_LT(test::relative_error(moments.variance, expected.variance), 1e-12);
}

TEST(SynchronisedMoments, DoNotMindTheMemoryFormat) {
  const SpreadImages images(7, 7);
  const at::Tensor x = images.mine(images.draw({3, 4, 5}, "x"));
  const GroupMoments rows = synchronised_moments(x, images.layout(), world());
  const GroupMoments channels =
      synchronised_moments(x.contiguous(at::MemoryFormat::ChannelsLast), images.layout(), world());
  EXPECT_LT(test::relative_error(channels.mean, rows.mean), 1e-13);
  EXPECT_LT(test::relative_error(channels.variance, rows.variance), 1e-13);
}

// E[x^2] - E[x]^2 in float32 would have no digit left.
TEST(SynchronisedMoments, ALargeMeanDoesNotCancelTheVariance) {
  for (const auto& [total, group] : {test::Cut{8, 8}, test::Cut{8, 2}, test::Cut{64, 64}}) {
    const SpreadImages images(total, group);
    const at::Tensor whole = (images.draw({3, 8, 8}, "x") + 1e4).to(at::kFloat);
    const GroupMoments moments = synchronised_moments(images.mine(whole), images.layout(), world());
    const GroupMoments expected = joined_moments(images, whole.to(at::kDouble));
    EXPECT_EQ(moments.variance.scalar_type(), at::kFloat);
    EXPECT_LT(test::relative_error(moments.mean.to(at::kDouble), expected.mean), 1e-6);
    EXPECT_LT(test::relative_error(moments.variance.to(at::kDouble), expected.variance), 1e-5);
  }
}

TEST(SynchronisedMoments, RefuseGroupsThatDoNotDivide) {
  const SpreadImages images(8, 3);
  EXPECT_THROW(synchronised_moments(images.mine(images.draw({2}, "x")), images.layout(), world()),
               c10::Error);
}

TEST(AllReduceSum, DerivativesEqualDifferences) {
  const SpreadImages images(4, 4);
  const at::Tensor x = images.draw({3}, "x")[world().rank()].clone().set_requires_grad(true);
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    const at::Tensor sum = all_reduce_sum(at[0].sin(), world());
    return ((world().rank() + 1.5) * at[0] * sum.exp()).sum();
  };
  EXPECT_LT(test::gradient_error(part, {x}), 1e-8);
  EXPECT_LT(test::second_gradient_error(part, {x}), 1e-7);
}

// A check that could not fail would be worth nothing: here the sum over ranks is missing from backward.
TEST(CollectiveGradcheck, SeesAMissingSum) {
  const SpreadImages images(4, 4);
  const at::Tensor x = images.draw({3}, "x")[world().rank()].clone().set_requires_grad(true);
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    at::Tensor others = at[0].detach().clone();
    world().all_reduce(others)->wait();
    const at::Tensor sum = at[0] + (others - at[0].detach());
    return (sum.square() * (world().rank() + 1)).sum();
  };
  EXPECT_EQ(test::gradient_error(part, {x}) > 1e-3, world().size() > 1);
}

}  // namespace
}  // namespace ganymede
