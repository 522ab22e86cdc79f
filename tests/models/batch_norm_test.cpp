#include "models/layers/batch_norm.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "models/layers/initialise.h"
#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

constexpr double eps = 1e-5;

ForwardContext context_of(const SpreadImages& images, BatchNormMode mode = BatchNormMode::train) {
  return {world(), images.layout(), mode};
}

at::Tensor buffer(const BatchNorm& norm, const char* name) {
  return norm.named_buffers()[name];
}

at::Tensor summed(const at::Tensor& tensor) {
  at::Tensor sum = tensor.clone();
  world().all_reduce(sum)->wait();
  return sum;
}

/// torch's batch norm on each group of the joined batch; the running averages as for one group.
at::Tensor torch_batch_norm(const SpreadImages& images, const at::Tensor& x, const at::Tensor& gain,
                            const at::Tensor& bias, const at::Tensor& running_mean,
                            const at::Tensor& running_var) {
  std::vector<at::Tensor> outputs;
  for (std::int64_t g = 0; g < images.groups(); ++g)
    outputs.push_back(at::batch_norm(images.of_group(x, g), gain, bias, running_mean, running_var,
                                     /*training=*/true, /*momentum=*/0.1, eps, /*cudnn_enabled=*/false));
  return at::cat(outputs);
}

TEST(BatchNorm, EqualsTorchsOnTheJoinedBatch) {
  for (const auto& [total, group] : test::cuts) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    AffineBatchNorm norm(3, {});
    norm.to(at::kDouble);
    at::Tensor weight = norm.named_parameters()["weight"], bias = norm.named_parameters()["bias"];
    {
      const at::NoGradGuard no_grad;
      weight.copy_(at::arange(1, 4, at::kDouble));
      bias.copy_(at::arange(3, at::kDouble) - 0.5);
    }
    const at::Tensor whole = (images.draw({3, 4, 5}, "x") * 2 + 1).set_requires_grad(true);
    const at::Tensor loss_weights = images.draw({3, 4, 5}, "weights");
    const at::Tensor x = images.mine(whole).set_requires_grad(true);
    const at::Tensor y = norm.forward(x, context_of(images));

    const at::Tensor gain = weight.detach().clone().set_requires_grad(true);
    const at::Tensor shift = bias.detach().clone().set_requires_grad(true);
    const at::Tensor expected = torch_batch_norm(images, whole, gain, shift, {}, {});
    EXPECT_LT(test::relative_error(y, images.mine(expected)), 1e-12);

    const auto gradients =
        torch::autograd::grad({(y.sin() * images.mine(loss_weights)).sum()}, {x, weight, bias});
    const auto references =
        torch::autograd::grad({(expected.sin() * loss_weights).sum()}, {whole, gain, shift});
    EXPECT_LT(test::relative_error(gradients[0], images.mine(references[0])), 1e-12);
    EXPECT_LT(test::relative_error(summed(gradients[1]), references[1]), 1e-12);
    EXPECT_LT(test::relative_error(summed(gradients[2]), references[2]), 1e-12);
  }
}

TEST(BatchNorm, RunningAveragesAreTorchs) {
  const SpreadImages images(7, 7);
  AffineBatchNorm norm(3, {});
  norm.to(at::kDouble);
  const at::Tensor mean = at::zeros({3}, at::kDouble), variance = at::ones({3}, at::kDouble);
  for (int step = 1; step <= 3; ++step) {
    const at::Tensor whole = images.draw({3, 2, 3}, "x") * step - 1;
    norm.forward(images.mine(whole), context_of(images));
    torch_batch_norm(images, whole, {}, {}, mean, variance);
  }
  EXPECT_LT(test::relative_error(buffer(norm, "running_mean"), mean), 1e-12);
  EXPECT_LT(test::relative_error(buffer(norm, "running_var"), variance), 1e-12);
  EXPECT_TRUE(test::equal_on_all_ranks(buffer(norm, "running_var")));
}

TEST(BatchNorm, RunningAveragesTakeTheMeanOverGroups) {
  const SpreadImages images(12, 4);
  AffineBatchNorm norm(3, {});
  norm.to(at::kDouble);
  const at::Tensor whole = images.draw({3, 2, 3}, "x") * 3 + 2;
  norm.forward(images.mine(whole), context_of(images));
  at::Tensor mean = at::zeros({3}, at::kDouble), variance = at::zeros({3}, at::kDouble);
  for (std::int64_t g = 0; g < 3; ++g) {
    mean += images.of_group(whole, g).mean({0, 2, 3}) / 3;
    variance += images.of_group(whole, g).var({0, 2, 3}, /*unbiased=*/true) / 3;
  }
  EXPECT_LT(test::relative_error(buffer(norm, "running_mean"), mean * 0.1), 1e-12);
  EXPECT_LT(test::relative_error(buffer(norm, "running_var"), variance * 0.1 + 0.9), 1e-12);
}

TEST(BatchNorm, DerivativesEqualDifferences) {
  for (const auto& [total, group] : {test::Cut{4, 4}, test::Cut{5, 5}, test::Cut{8, 2}, test::Cut{6, 3}}) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    BatchNorm norm(2, {});
    norm.to(at::kDouble);
    const at::Tensor x = images.mine(images.draw({2, 2, 1}, "x")).set_requires_grad(true);
    const at::Tensor gain = (images.mine(images.draw({2}, "gain")) + 2).set_requires_grad(true);
    const at::Tensor bias = images.mine(images.draw({2}, "bias")).set_requires_grad(true);
    const at::Tensor weights = images.mine(images.draw({2, 2, 1}, "weights"));
    const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
      const at::Tensor y = norm.normalise(at[0], at[1], at[2], context_of(images, BatchNormMode::batch));
      return (weights * (y.sin() + y.square() * 0.2)).sum();
    };
    EXPECT_LT(test::gradient_error(part, {x, gain, bias}), 1e-8);
    EXPECT_LT(test::second_gradient_error(part, {x, gain, bias}), 1e-7);
  }
}

TEST(BatchNorm, DerivativesWithReluEqualDifferences) {
  for (const auto& [total, group] : {test::Cut{5, 5}, test::Cut{8, 2}}) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    BatchNorm norm(2, {.activation = Activation::relu});
    norm.to(at::kDouble);
    const at::Tensor x = images.mine(images.draw({2, 2, 2}, "x")).set_requires_grad(true);
    const at::Tensor gain = at::full({1, 2}, 1.5, at::kDouble).set_requires_grad(true);
    const at::Tensor bias = at::full({1, 2}, 0.1, at::kDouble).set_requires_grad(true);
    const at::Tensor weights = images.mine(images.draw({2, 2, 2}, "weights"));
    const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
      const at::Tensor y = norm.normalise(at[0], at[1], at[2], context_of(images, BatchNormMode::batch));
      return (weights * (y.sin() + y.square() * 0.2)).sum();
    };
    EXPECT_LT(test::gradient_error(part, {x, gain, bias}), 1e-7);
    EXPECT_LT(test::second_gradient_error(part, {x, gain, bias}), 1e-6);
  }
}

TEST(BatchNorm, HalfPrecisionMapsHaveFloatFigures) {
  const SpreadImages images(6, 6);
  AffineBatchNorm norm(5, {.activation = Activation::relu});
  const at::Tensor whole = images.draw({5, 4, 4}, "x").to(at::kBFloat16).to(at::kFloat) + 3;
  const auto run = [&](at::ScalarType type) {
    const at::Tensor x = images.mine(whole).to(type).set_requires_grad(true);
    const at::Tensor y = norm.forward(x, context_of(images));
    const at::Tensor weights = images.mine(images.draw({5, 4, 4}, "weights")).to(type);
    return std::pair{y, torch::autograd::grad({y}, {x}, {weights})[0]};
  };
  const auto half = run(at::kBFloat16), full = run(at::kFloat);
  EXPECT_EQ(half.first.scalar_type(), at::kBFloat16);
  EXPECT_LT(test::relative_error(half.first.to(at::kFloat), full.first), 1e-2);
  EXPECT_LT(test::relative_error(half.second.to(at::kFloat), full.second), 2e-2);
}

TEST(BatchNorm, ALargeMeanDoesNotCancelTheVariance) {
  const SpreadImages images(8, 8);
  AffineBatchNorm norm(3, {});
  const at::Tensor whole = (images.draw({3, 8, 8}, "x") + 1e4).to(at::kFloat);
  const at::Tensor y = norm.forward(images.mine(whole), context_of(images));
  const at::Tensor expected = torch_batch_norm(images, whole.to(at::kDouble), {}, {}, {}, {});
  // x itself has only four digits after the point.
  EXPECT_LT(test::relative_error(y.to(at::kDouble), images.mine(expected)), 2e-3);
}

TEST(BatchNorm, OnlyTrainingMovesTheRunningAverages) {
  const SpreadImages images(6, 6);
  AffineBatchNorm norm(3, {});
  const at::Tensor x = images.mine(images.draw({3, 2, 2}, "x")).to(at::kFloat);
  for (const BatchNormMode mode : {BatchNormMode::batch, BatchNormMode::running, BatchNormMode::standing})
    norm.forward(x, context_of(images, mode));
  EXPECT_TRUE(at::equal(buffer(norm, "running_mean"), at::zeros({3})));
  EXPECT_TRUE(at::equal(buffer(norm, "running_var"), at::ones({3})));
}

TEST(BatchNorm, RunningModeUsesTheRunningAverages) {
  const SpreadImages images(6, 6);
  AffineBatchNorm norm(3, {});
  norm.to(at::kDouble);
  buffer(norm, "running_mean").copy_(at::arange(3, at::kDouble));
  buffer(norm, "running_var").copy_(at::arange(1, 4, at::kDouble));
  const at::Tensor x = images.mine(images.draw({3, 2, 2}, "x"));
  const at::Tensor expected = at::batch_norm(x, {}, {}, buffer(norm, "running_mean"),
                                             buffer(norm, "running_var"), false, 0.1, eps, false);
  EXPECT_LT(test::relative_error(norm.forward(x, context_of(images, BatchNormMode::running)), expected),
            1e-12);
}

TEST(BatchNorm, StandingStatisticsAreTheMeanOverPasses) {
  const SpreadImages images(6, 6);
  AffineBatchNorm norm(3, {});
  norm.to(at::kDouble);
  at::Tensor mean = at::zeros({3}, at::kDouble), variance = at::zeros({3}, at::kDouble);
  for (int pass = 1; pass <= 4; ++pass) {
    const at::Tensor whole = images.draw({3, 2, 2}, "x") * pass + pass;
    norm.forward(images.mine(whole), context_of(images, BatchNormMode::standing));
    mean += whole.mean({0, 2, 3}) / 4;
    variance += whole.var({0, 2, 3}, /*unbiased=*/true) / 4;
  }
  norm.adopt_standing(norm.standing_sums(), 4);
  EXPECT_LT(test::relative_error(buffer(norm, "running_mean"), mean), 1e-12);
  EXPECT_LT(test::relative_error(buffer(norm, "running_var"), variance), 1e-12);
  EXPECT_EQ(norm.standing_sums().abs().max().item<double>(), 0);
}

TEST(ConditionalBatchNorm, GainIsOnePlusALinearMap) {
  const SpreadImages images(6, 6);
  ConditionalBatchNorm norm(3, 4, {}, {});
  norm.to(at::kDouble);
  initialise(norm, "n02", 1);
  const at::Tensor x = images.mine(images.draw({3, 2, 2}, "x"));
  const at::Tensor y = images.mine(images.draw({4}, "condition"));
  const at::Tensor output = norm.forward(x, y, context_of(images, BatchNormMode::batch));
  BatchNorm plain(3, {});
  plain.to(at::kDouble);
  const at::Tensor normalised =
      plain.normalise(x, at::ones({1, 3}, at::kDouble), at::zeros({1, 3}, at::kDouble),
                      context_of(images, BatchNormMode::batch));
  const auto parameters = norm.named_parameters();
  const at::Tensor gain = 1 + at::mm(y, parameters["gain.weight"].t());
  const at::Tensor bias = at::mm(y, parameters["bias.weight"].t());
  EXPECT_LT(test::relative_error(output, normalised * gain.view({-1, 3, 1, 1}) + bias.view({-1, 3, 1, 1})),
            1e-12);
}

}  // namespace
}  // namespace ganymede
