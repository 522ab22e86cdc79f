#include "models/layers/adaptive_layer_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/philox.h"
#include "models/layers/gelu.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

constexpr std::int64_t images = 3, channels = 37;  // not a multiple of a vector
constexpr double eps = 1e-6;

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 5, .phase = "adaptive layer norm", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

double difference(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

struct Precision {
  at::ScalarType type, figures;
  double bound;
};
constexpr Precision precisions[] = {{at::kDouble, at::kDouble, 1e-12},
                                    {at::kFloat, at::kFloat, 2e-6},
                                    {at::kBFloat16, at::kFloat, 6e-3},
                                    {at::kHalf, at::kFloat, 8e-4}};

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

/// `ours` and its gradients against `exact` in float64 of the very numbers that were given.
void compare(const char* name, const std::vector<at::Tensor>& given, double bound, const Function& ours,
             const Function& exact) {
  std::vector<at::Tensor> leaves, wide;
  for (const at::Tensor& tensor : given) {
    leaves.push_back(tensor.detach().set_requires_grad(true));
    wide.push_back(tensor.detach().to(at::kDouble).set_requires_grad(true));
  }
  const at::Tensor y = ours(leaves), expected = exact(wide);
  EXPECT_EQ(y.scalar_type(), given[0].scalar_type());
  const at::Tensor g = draw("g", y.sizes()).to(y.scalar_type());
  const auto found = torch::autograd::grad({y}, leaves, {g});
  const auto gradients = torch::autograd::grad({expected}, wide, {g.to(at::kDouble)});
  double worst = difference(y.detach(), expected.detach());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].scalar_type(), given[i].scalar_type()) << "input " << i;
    worst = std::max(worst, difference(found[i], gradients[i]));
  }
  fmt::print("{} in {}: relative error {:.1e}\n", name, c10::toString(y.scalar_type()), worst);
  EXPECT_LT(worst, bound) << name;
}

at::Tensor modulated(const std::vector<at::Tensor>& all) {
  return adaptive_layer_norm(all[0], all[1], all[2], eps);
}
at::Tensor gated(const std::vector<at::Tensor>& all) {
  return gated_sum(all[0], all[1], all[2]);
}
at::Tensor activated(const std::vector<at::Tensor>& all) {
  return gelu_tanh(all[0]);
}

TEST(AdaptiveLayerNorm, AndItsGradientsEqualTorchs) {
  for (const Precision& p : precisions)
    for (const std::int64_t tokens : {1, 70})  // within and beyond what is summed at once
      compare(
          "adaptive_layer_norm",
          {(draw("x", {images, tokens, channels}) * 2 + 3).to(p.type),
           draw("scale", {images, channels}).to(p.figures), draw("shift", {images, channels}).to(p.figures)},
          p.bound, modulated, [](const std::vector<at::Tensor>& all) {
            return at::layer_norm(all[0], {channels}, {}, {}, eps) * (1 + all[1]).unsqueeze(1) +
                   all[2].unsqueeze(1);
          });
}

TEST(GatedSum, AndItsGradientsEqualTorchs) {
  for (const Precision& p : precisions)
    for (const std::int64_t tokens : {1, 70})
      compare(
          "gated_sum",
          {draw("x", {images, tokens, channels}).to(p.type), draw("gate", {images, channels}).to(p.figures),
           draw("branch", {images, tokens, channels}).to(p.type)},
          p.bound, gated,
          [](const std::vector<at::Tensor>& all) { return all[0] + all[1].unsqueeze(1) * all[2]; });
}

TEST(GeluTanh, AndItsGradientEqualTorchs) {
  for (const Precision& p : precisions)
    compare("gelu_tanh", {(draw("x", {images, 70, channels}) * 3).to(p.type)}, p.bound, activated,
            [](const std::vector<at::Tensor>& all) { return at::gelu(all[0], "tanh"); });
  const at::Tensor ends = at::tensor({-1e4, -30.0, 0.0, 30.0, 1e4}, at::kFloat).set_requires_grad(true);
  const at::Tensor y = gelu_tanh(ends);
  EXPECT_TRUE(at::allclose(y, at::relu(ends)));
  EXPECT_TRUE(at::allclose(torch::autograd::grad({y.sum()}, {ends})[0],
                           at::tensor({0.0, 0.0, 0.5, 1.0, 1.0}, at::kFloat)));
}

TEST(AdaptiveLayerNorm, IsDifferentiableTwice) {
  const auto twice = [](const Function& function, const std::vector<at::Tensor>& given) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& tensor : given) leaves.push_back(tensor.set_requires_grad(true));
    const auto part = [&](const std::vector<at::Tensor>& all) {
      const at::Tensor y = function(all);
      return (y.square() * draw("weights", y.sizes())).sum();
    };
    EXPECT_LT(test::gradient_error(part, leaves), 1e-7);
    EXPECT_LT(test::second_gradient_error(part, leaves), 1e-6);
  };
  const at::Tensor x = draw("x", {2, 3, 5}), a = draw("a", {2, 5}), b = draw("b", {2, 5});
  twice(modulated, {x.clone(), a.clone(), b.clone()});
  twice(gated, {x.clone(), a.clone(), draw("branch", {2, 3, 5})});
  twice(activated, {x.clone()});
}

/// As parts of one map, and of tokens in any order.
TEST(AdaptiveLayerNorm, TakesViews) {
  const at::Tensor x = draw("x", {images, channels, 6}).transpose(1, 2),
                   figures = draw("figures", {images, 3 * channels});
  const auto m = figures.chunk(3, 1);
  EXPECT_LT(
      difference(adaptive_layer_norm(x, m[1], m[0], eps),
                 at::layer_norm(x, {channels}, {}, {}, eps) * (1 + m[1]).unsqueeze(1) + m[0].unsqueeze(1)),
      1e-12);
  EXPECT_LT(difference(gated_sum(x, m[2], x * 2), x + m[2].unsqueeze(1) * x * 2), 1e-12);
}

}  // namespace
}  // namespace ganymede
