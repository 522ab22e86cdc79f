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
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{3, 4, 5, 2}, {6, 4}, {2, 4, 3, 2, 3}}) {
      std::vector<std::int64_t> beside(shape.size() - 1, 1);
      beside[0] = 4;
      const at::Tensor bias = draw("bias", {4});
      for (at::Tensor x : {draw("x", shape), draw("x", shape).to(at::kHalf)})
        for (const bool channels_last : {false, true}) {
          if (channels_last && x.dim() == 4) x = x.contiguous(at::MemoryFormat::ChannelsLast);
          const at::Tensor shifted = x.to(at::kDouble) + bias.view(beside);
          at::Tensor expected = at::leaky_relu(shifted, 0.1) * 3;
          if (bound > 0) expected = expected.clamp(-bound, bound);
          const at::Tensor y = bias_activation(x, bias, {0.1, 3, bound});
          EXPECT_EQ(y.strides(), x.strides());
          EXPECT_EQ(y.scalar_type(), x.scalar_type());
          const double error = x.scalar_type() == at::kHalf ? 3e-3 : 1e-12;
          EXPECT_TRUE(at::allclose(y.to(at::kDouble), expected, error, error));
          const at::Tensor without = bias_activation(shifted.to(x.scalar_type()), {}, {0.1, 3, bound});
          EXPECT_TRUE(at::allclose(without.to(at::kDouble), expected, 2 * error, 2 * error));
        }
    }
}

// Every other column of a larger tensor.
TEST(BiasActivation, TakesWhatIsNotDense) {
  const at::Tensor x = draw("x", {3, 4, 5, 6}).slice(3, 0, {}, 2), bias = draw("bias", {4});
  EXPECT_TRUE(at::equal(bias_activation(x, bias, {}), bias_activation(x.clone(), bias, {})));
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
