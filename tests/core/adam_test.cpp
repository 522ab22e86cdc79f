#include "core/adam.h"

#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

#include "core/philox.h"

namespace ganymede {
namespace {

constexpr AdamStep step_options{.lr = 3e-3, .beta1 = 0.5, .beta2 = 0.99, .eps = 1e-6};

at::Tensor draw(std::int64_t count, std::uint64_t step, at::ScalarType type) {
  return RandomStream({.seed = 1, .phase = "adam", .step = step})
      .normal(0, 1, count, at::kDouble)[0]
      .to(type);
}

double relative_error(const at::Tensor& value, const at::Tensor& reference) {
  return ((value.to(at::kDouble) - reference).norm() / reference.norm()).item<double>();
}

/// Weights and moments after a few steps.
struct Adam {
  Adam(std::int64_t count, at::ScalarType type)
      : w(draw(count, 0, type)), m(at::zeros({count}, type)), v(at::zeros({count}, type)) {}

  void run(int steps, AdamStep step = step_options) {
    for (int t = 1; t <= steps; ++t) {
      step.t = t;
      adam_step(step, w, draw(w.numel(), static_cast<std::uint64_t>(t), w.scalar_type()), m, v, {});
    }
  }
  at::Tensor w, m, v;
};

/// The paper's algorithm, tensor by tensor, in float64.
at::Tensor reference(std::int64_t count, int steps, const AdamStep& step = step_options) {
  at::Tensor w = draw(count, 0, at::kDouble), m = at::zeros_like(w), v = at::zeros_like(w);
  for (int t = 1; t <= steps; ++t) {
    const at::Tensor g = draw(count, static_cast<std::uint64_t>(t), at::kDouble) * step.gradient_scale;
    m = step.beta1 * m + (1 - step.beta1) * g;
    v = step.beta2 * v + (1 - step.beta2) * g * g;
    const at::Tensor corrected_m = m / (1 - std::pow(step.beta1, t));
    const at::Tensor corrected_v = v / (1 - std::pow(step.beta2, t));
    w = w - step.lr * corrected_m / (corrected_v.sqrt() + step.eps);
  }
  return w;
}

// Below, at and above a block, and enough for several threads.
TEST(Adam, FollowsThePaper) {
  for (const std::int64_t count : {1, 7, 2047, 2048, 2049, 200'003}) {
    Adam exact(count, at::kDouble), single(count, at::kFloat);
    exact.run(5);
    single.run(5);
    EXPECT_LT(relative_error(exact.w, reference(count, 5)), 1e-14) << count;
    EXPECT_LT(relative_error(single.w, reference(count, 5)), 1e-6) << count;
  }
}

TEST(Adam, EqualsTorchs) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    constexpr std::int64_t count = 3001;
    Adam ours(count, type);
    at::Tensor weights = draw(count, 0, type).set_requires_grad(true);
    torch::optim::Adam theirs({weights}, torch::optim::AdamOptions(step_options.lr)
                                             .betas({step_options.beta1, step_options.beta2})
                                             .eps(step_options.eps));
    for (std::uint64_t t = 1; t <= 10; ++t) {
      weights.mutable_grad() = draw(count, t, type);
      theirs.step();
    }
    ours.run(10);
    EXPECT_LT(relative_error(ours.w, weights.detach().to(at::kDouble)), type == at::kDouble ? 1e-14 : 3e-7);
  }
}

TEST(Adam, DecaysWeightsAsTorchsAdamWDoes) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    constexpr std::int64_t count = 3001;
    AdamStep step = step_options;
    step.weight_decay = 0.7;
    Adam ours(count, type);
    at::Tensor weights = draw(count, 0, type).set_requires_grad(true);
    torch::optim::AdamW theirs({weights}, torch::optim::AdamWOptions(step.lr)
                                              .betas({step.beta1, step.beta2})
                                              .eps(step.eps)
                                              .weight_decay(step.weight_decay));
    for (std::uint64_t t = 1; t <= 10; ++t) {
      weights.mutable_grad() = draw(count, t, type);
      theirs.step();
    }
    ours.run(10, step);
    EXPECT_LT(relative_error(ours.w, weights.detach().to(at::kDouble)), type == at::kDouble ? 1e-14 : 3e-7);
  }
}

TEST(Adam, WithoutMomentumItDividesByTheRootMeanSquare) {
  AdamStep step = step_options;
  step.beta1 = 0;
  Adam adam(100, at::kDouble);
  adam.run(4, step);
  EXPECT_LT(relative_error(adam.w, reference(100, 4, step)), 1e-14);
  EXPECT_TRUE(at::equal(adam.m, draw(100, 4, at::kDouble)));
}

TEST(Adam, ScalesTheGradientFirst) {
  AdamStep step = step_options;
  step.gradient_scale = 1e-3;
  Adam adam(100, at::kDouble);
  adam.run(3, step);
  EXPECT_LT(relative_error(adam.w, reference(100, 3, step)), 1e-14);
}

TEST(Adam, AGateDecidesAndCounts) {
  Adam gated(100, at::kDouble), plain(100, at::kDouble);
  const at::Tensor average = draw(100, 20, at::kDouble), before = average.clone();
  const at::Tensor closed = at::tensor({1., 1.}, at::kDouble), open = at::tensor({0., 1.}, at::kDouble);
  AdamStep step = step_options;
  adam_step(step, gated.w, draw(100, 1, at::kDouble), gated.m, gated.v, {{average, 0.9}}, closed);
  for (const auto& [left, right] : {std::pair(gated.w, plain.w), {gated.m, plain.m}, {average, before}})
    EXPECT_TRUE(at::equal(left, right));
  step.t = 2;  // the first that counts
  adam_step(step, gated.w, draw(100, 1, at::kDouble), gated.m, gated.v, {}, open);
  plain.run(1);
  EXPECT_TRUE(at::equal(gated.w, plain.w));
}

// A padded arena stays zero where it pads.
TEST(Adam, LeavesZerosWhereTheGradientIsZero) {
  at::Tensor w = at::zeros({64}), m = at::zeros({64}), v = at::zeros({64}), ema = at::zeros({64});
  for (int t = 1; t <= 3; ++t) {
    AdamStep step = step_options;
    step.t = t;
    adam_step(step, w, at::zeros({64}), m, v, {{ema, 0.9}});
  }
  for (const at::Tensor& tensor : {w, m, v, ema}) EXPECT_EQ(tensor.abs().max().item<float>(), 0);
}

TEST(Adam, AveragesFollowTheNewWeights) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    Adam adam(5000, type);
    const at::Tensor slow = draw(5000, 20, type), fast = draw(5000, 21, type);
    const at::Tensor slow_before = slow.clone(), fast_before = fast.clone();
    adam_step(step_options, adam.w, draw(5000, 1, type), adam.m, adam.v, {{slow, 0.999}, {fast, 0.5}});
    const double bound = type == at::kDouble ? 1e-15 : 1e-7;
    EXPECT_LT(relative_error(slow, (slow_before * 0.999 + adam.w * 0.001).to(at::kDouble)), bound);
    EXPECT_LT(relative_error(fast, (fast_before * 0.5 + adam.w * 0.5).to(at::kDouble)), bound);
  }
}

TEST(Adam, AnAverageWithoutDecayIsACopy) {
  Adam adam(5000, at::kFloat);
  // Far from the weights: what is added to it would lose their last digits.
  const at::Tensor average = at::full({5000}, 1e6f);
  adam_step(step_options, adam.w, draw(5000, 1, at::kFloat), adam.m, adam.v, {{average, 0}});
  EXPECT_TRUE(at::equal(average, adam.w));
}

}  // namespace
}  // namespace ganymede
