#include "models/layers/pixel_norm.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 3, .phase = "pixel norm", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

/// Channels on both sides of what is summed at once.
constexpr std::int64_t widths[] = {3, 32, 45, 128};

TEST(ActivatedPixelNorm, IsItsFormulaInEveryType) {
  for (const std::int64_t width : widths) {
    const at::Tensor x = draw("x", {2, width, 3, 5});
    const at::Tensor z = at::where(x > 0, x, x * 0.2);
    const at::Tensor expected = z / at::sqrt(z.square().mean({1}, true) + 1e-8);
    EXPECT_TRUE(at::allclose(activated_pixel_norm(x, 0.2), expected, 1e-12, 1e-12));
    EXPECT_TRUE(
        at::allclose(activated_pixel_norm(x.to(at::kFloat), 0.2).to(at::kDouble), expected, 1e-5, 1e-6));
    EXPECT_TRUE(
        at::allclose(activated_pixel_norm(x.to(at::kBFloat16), 0.2).to(at::kDouble), expected, 2e-2, 2e-2));
  }
}

TEST(ActivatedPixelNorm, HasTheGradientOfTheComposedOperations) {
  for (const std::int64_t width : widths)
    for (const at::ScalarType type : {at::kDouble, at::kBFloat16}) {
      const at::Tensor g = draw("g", {2, width, 3, 5}).to(type);
      const auto gradient_through = [&](const auto& norm) {
        at::Tensor x = draw("x", {2, width, 3, 5}).to(type).set_requires_grad(true);
        norm(x).backward(g);
        return x.grad().to(at::kDouble);
      };
      const at::Tensor fused =
          gradient_through([](const at::Tensor& x) { return activated_pixel_norm(x, 0.2); });
      const at::Tensor composed =
          gradient_through([](const at::Tensor& x) { return pixel_norm(at::leaky_relu(x, 0.2)); });
      const double tolerance = type == at::kDouble ? 1e-12 : 3e-2;
      EXPECT_LT((fused - composed).norm().item<double>(), tolerance * composed.norm().item<double>())
          << width;
    }
}

TEST(ActivatedPixelNorm, IsDifferentiableTwice) {
  const auto part = [](const std::vector<at::Tensor>& inputs) {
    const at::Tensor y = activated_pixel_norm(inputs[0], 0.2);
    return (y.pow(3) * draw("weights", y.sizes())).sum();
  };
  const std::vector<at::Tensor> inputs{draw("x", {2, 3, 2, 2}).set_requires_grad(true)};
  EXPECT_LT(test::gradient_error(part, inputs), 1e-7);
  EXPECT_LT(test::second_gradient_error(part, inputs), 1e-6);
}

}  // namespace
}  // namespace ganymede
