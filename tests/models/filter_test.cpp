#include "models/layers/filter.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 2, .phase = "filter", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

/// By the definition, in plain operations.
at::Tensor reference(const at::Tensor& x, const Resampling& r) {
  const std::int64_t channels = x.size(1);
  at::Tensor spread = at::zeros({x.size(0), channels, x.size(2) * r.up, x.size(3) * r.up}, x.options());
  spread.slice(2, 0, {}, r.up).slice(3, 0, {}, r.up).copy_(x);
  spread = at::constant_pad_nd(spread, {r.before, r.after, r.before, r.after});
  const at::Tensor taps =
      at::tensor({1.0, 3.0, 3.0, 1.0}, x.options()) / 8 * static_cast<double>(r.up) * r.gain;
  const at::Tensor kernel = at::outer(taps, taps).expand({channels, 1, 4, 4});
  const std::int64_t one[] = {1, 1}, none[] = {0, 0};
  return at::conv2d(spread, kernel, {}, one, none, one, channels)
      .slice(2, 0, {}, r.down)
      .slice(3, 0, {}, r.down);
}

const Resampling cases[] = {
    {.up = 2, .before = 2, .after = 1},   {.down = 2, .before = 1, .after = 1},
    {.before = 1, .after = 1, .gain = 2}, {.before = 2, .after = 2},
    {.up = 2, .down = 3, .before = 3},    {.before = -1, .after = 4},
};

TEST(Filter, IsItsDefinition) {
  for (const Resampling& resampling : cases)
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor x = draw("x", {2, 5, 8, 6}).to(type);
      const at::Tensor expected = reference(x.to(at::kDouble), resampling), y = filtered(x, resampling);
      EXPECT_EQ(y.scalar_type(), type);
      ASSERT_EQ(y.sizes(), expected.sizes());
      const double bound = type == at::kDouble ? 1e-14 : type == at::kFloat ? 1e-6 : 1e-2;
      EXPECT_LT(((y.to(at::kDouble) - expected).norm() / expected.norm()).item<double>(), bound);
    }
}

TEST(Filter, KeepsBrightnessAndSize) {
  const at::Tensor flat = at::ones({1, 3, 8, 8});
  const at::Tensor up = filtered_up(flat), down = filtered_down(flat);
  EXPECT_EQ(up.sizes(), at::IntArrayRef({1, 3, 16, 16}));
  EXPECT_EQ(down.sizes(), at::IntArrayRef({1, 3, 4, 4}));
  EXPECT_TRUE(at::allclose(up.slice(2, 2, 14).slice(3, 2, 14), at::ones({1, 3, 12, 12})));
  EXPECT_TRUE(at::allclose(down.slice(2, 1, 3).slice(3, 1, 3), at::ones({1, 3, 2, 2})));
}

TEST(Filter, IsDifferentiableTwice) {
  for (const Resampling& resampling : cases) {
    const auto part = [&](const std::vector<at::Tensor>& inputs) {
      const at::Tensor y = filtered(inputs[0], resampling);
      return (y.pow(3) * draw("weights", y.sizes())).sum();
    };
    const at::Tensor x = draw("x", {2, 2, 4, 6}).set_requires_grad(true);
    EXPECT_LT(test::gradient_error(part, {x}), 1e-7);
    EXPECT_LT(test::second_gradient_error(part, {x}), 1e-6);
  }
  const auto smoothed = [&](const std::vector<at::Tensor>& inputs) {
    const at::Tensor y = binomial_filtered(inputs[0]);
    return (y.pow(3) * draw("weights", y.sizes())).sum();
  };
  const at::Tensor x = draw("x", {2, 2, 4, 6}).set_requires_grad(true);
  EXPECT_LT(test::gradient_error(smoothed, {x}), 1e-7);
  EXPECT_LT(test::second_gradient_error(smoothed, {x}), 1e-6);
}

TEST(Filter, OfTheSecondBinomialOrderIsItsDefinition) {
  const at::Tensor taps = at::tensor({1.0, 2.0, 1.0}, at::kDouble) / 4;
  const at::Tensor kernel = at::outer(taps, taps).expand({5, 1, 3, 3});
  const std::int64_t one[] = {1, 1};
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor x = draw("x", {2, 5, 8, 6}).to(type);
    const at::Tensor expected = at::conv2d(x.to(at::kDouble), kernel, {}, one, one, one, 5);
    const at::Tensor y = binomial_filtered(x);
    EXPECT_EQ(y.scalar_type(), type);
    const double bound = type == at::kDouble ? 1e-14 : type == at::kFloat ? 1e-6 : 1e-2;
    EXPECT_LT(((y.to(at::kDouble) - expected).norm() / expected.norm()).item<double>(), bound);
  }
}

}  // namespace
}  // namespace ganymede
