#include "models/layers/adaptive_instance_norm.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "models/layers/initialise.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

constexpr std::int64_t channels = 5, style = 3;

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 4, .phase = "adain", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

std::shared_ptr<AdaptiveInstanceNorm> layer() {
  auto norm = std::make_shared<AdaptiveInstanceNorm>(channels, style);
  norm->to(at::kDouble);
  initialise(*norm, "n02", 1);
  return norm;
}

TEST(AdaptiveInstanceNorm, MakesEachImagesFiguresItsStyle) {
  const auto norm = layer();
  const at::Tensor x = draw("x", {4, channels, 6, 7}) * 3 + 2, w = draw("w", {4, style});
  const at::Tensor y = norm->forward(x, w);
  const at::Tensor affine = norm->parameters()[0];
  const at::Tensor styles = at::mm(w, affine.t()) / std::sqrt(static_cast<double>(style));
  const at::Tensor mean = y.mean({2, 3}), deviation = y.var({2, 3}, /*unbiased=*/false).sqrt();
  EXPECT_LT((mean - styles.slice(1, channels)).abs().max().item<double>(), 1e-12);
  EXPECT_LT((deviation - (1 + styles.slice(1, 0, channels)).abs()).abs().max().item<double>(), 1e-6);
}

TEST(AdaptiveInstanceNorm, TiesNoImageToAnother) {
  const auto norm = layer();
  const at::Tensor x = draw("x", {4, channels, 6, 7}), w = draw("w", {4, style});
  at::Tensor changed = x.clone();
  changed[2].mul_(-2);
  const at::Tensor moved = (norm->forward(x, w) - norm->forward(changed, w)).abs().amax({1, 2, 3}).gt(0);
  EXPECT_EQ(moved.sum().item<std::int64_t>(), 1);
  EXPECT_TRUE(moved[2].item<bool>());
}

TEST(AdaptiveInstanceNorm, LeavesAFlatMapFlat) {
  const at::Tensor y =
      layer()->forward(at::ones({2, channels, 4, 4}, at::kDouble), at::zeros({2, style}, at::kDouble));
  EXPECT_LT(y.abs().max().item<double>(), 1e-10);
}

TEST(AdaptiveInstanceNorm, KeepsTheTypeOfMaps) {
  const auto norm = std::make_shared<AdaptiveInstanceNorm>(channels, style);
  initialise(*norm, "n02", 1);
  const at::Tensor x = draw("x", {2, channels, 6, 7}).to(at::kFloat),
                   w = draw("w", {2, style}).to(at::kFloat);
  const at::Tensor exact = norm->forward(x, w), y = norm->forward(x.to(at::kBFloat16), w);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_LT(((y - exact).norm() / exact.norm()).item<double>(), 1e-2);
}

TEST(AdaptiveInstanceNorm, IsDifferentiableTwice) {
  const auto norm = layer();
  const auto part = [&](const std::vector<at::Tensor>& inputs) {
    const at::Tensor y = norm->forward(inputs[0], inputs[1]);
    return (y.pow(3) * draw("weights", y.sizes())).sum();
  };
  const at::Tensor x = draw("x", {2, channels, 3, 2}).set_requires_grad(true),
                   w = draw("w", {2, style}).set_requires_grad(true);
  EXPECT_LT(test::gradient_error(part, {x, w}), 1e-7);
  EXPECT_LT(test::second_gradient_error(part, {x, w}), 1e-6);
}

}  // namespace
}  // namespace ganymede
