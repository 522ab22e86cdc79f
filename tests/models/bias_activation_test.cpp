#include "models/layers/bias_activation.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 3, .phase = "activation", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

TEST(BiasActivation, IsItsFormula) {
  for (const double bound : {0.0, 1.5})
    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{3, 4, 5, 2}, {6, 4}}) {
      const at::Tensor x = draw("x", shape), bias = draw("bias", {4});
      const at::Tensor shifted = shape.size() == 4 ? x + bias.view({4, 1, 1}) : x + bias;
      at::Tensor expected = at::leaky_relu(shifted, 0.1) * 3;
      if (bound > 0) expected = expected.clamp(-bound, bound);
      EXPECT_TRUE(at::allclose(bias_activation(x, bias, {0.1, 3, bound}), expected));
      EXPECT_TRUE(at::allclose(bias_activation(shifted, {}, {0.1, 3, bound}), expected));
    }
}

TEST(BiasActivation, IsDifferentiableTwice) {
  for (const double bound : {0.0, 1.5}) {
    const auto part = [&](const std::vector<at::Tensor>& inputs) {
      const at::Tensor y = bias_activation(inputs[0], inputs[1], {.bound = bound});
      return (y.pow(3) * draw("weights", y.sizes())).sum();
    };
    const std::vector<at::Tensor> inputs{draw("x", {2, 3, 2, 2}).set_requires_grad(true),
                                         draw("bias", {3}).set_requires_grad(true)};
    EXPECT_LT(test::gradient_error(part, inputs), 1e-7);
    EXPECT_LT(test::second_gradient_error(part, inputs), 1e-6);
  }
}

}  // namespace
}  // namespace ganymede
