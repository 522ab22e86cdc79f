#include "models/layers/convolution.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/philox.h"

namespace ganymede {
namespace {

using torch::autograd::grad;

struct Case {
  std::int64_t kernel, stride, padding;
};
constexpr Case cases[] = {{3, 1, 1}, {1, 1, 0}, {4, 2, 1}, {2, 1, 1}};

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 5, .phase = "convolution", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

/// The result, its gradients, those of a function of them, and those of a function of these: up to the third order, of
/// x, weight and bias.
std::vector<at::Tensor> derivatives(const Case& shape, bool ours) {
  const at::Tensor x = draw("x", {2, 3, 6, 6}).set_requires_grad(true);
  const at::Tensor weight = draw("weight", {4, 3, shape.kernel, shape.kernel}).set_requires_grad(true);
  const at::Tensor bias = draw("bias", {4}).set_requires_grad(true);
  const at::Tensor y = ours ? convolution(x, weight, bias, shape.stride, shape.padding)
                            : at::conv2d(x, weight, bias, shape.stride, shape.padding);
  std::vector<at::Tensor> result{y};
  at::Tensor scalar = y.pow(3).sum();
  for (int order = 1; order <= 3; ++order) {
    const auto found = grad({scalar}, {x, weight, bias}, {}, true, true, true);
    scalar = at::zeros({}, at::kDouble);
    for (const at::Tensor& one : found) {
      if (!one.defined()) continue;
      result.push_back(one);
      scalar = scalar + (one * draw("mix", one.sizes())).pow(2).sum();
    }
  }
  return result;
}

TEST(Convolution, HasTorchsDerivativesUpToTheThird) {
  for (const Case& shape : cases) {
    const auto ours = derivatives(shape, true), theirs = derivatives(shape, false);
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(at::allclose(ours[i], theirs[i], 1e-10, 1e-10)) << shape.kernel << ", tensor " << i;
  }
}

TEST(Convolution, DerivesWhatIsAskedForOnly) {
  const at::Tensor x = draw("x", {2, 3, 6, 6}).set_requires_grad(true);
  const at::Tensor weight = draw("weight", {4, 3, 3, 3});
  const at::Tensor of_x = grad({convolution(x, weight, {}, 1, 1).sum()}, {x}, {}, true, true)[0];
  EXPECT_TRUE(of_x.defined());
  EXPECT_FALSE(of_x.requires_grad());  // of a linear function with a constant weight
}

}  // namespace
}  // namespace ganymede
