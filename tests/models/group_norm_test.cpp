#include "models/layers/group_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/philox.h"
#include "models/layers/group_norm_silu.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

constexpr std::int64_t images = 3, channels = 12, groups = 4;
constexpr double eps = 1e-5;

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 5, .phase = "group norm", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

at::Tensor over(const at::Tensor& rows) {
  return rows.unsqueeze(-1).unsqueeze(-1);
}

/// The same in torch's operations.
at::Tensor expected(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& gain,
                    const at::Tensor& bias, bool silu) {
  const at::Tensor h = offset.defined() ? x + over(offset) : x;
  const at::Tensor u = at::group_norm(h, groups, {}, {}, eps) * over(gain) + over(bias);
  return silu ? at::silu(u) : u;
}

double difference(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

struct Inputs {
  at::Tensor x, offset, gain, bias;
  std::vector<at::Tensor> all() const {
    return offset.defined() ? std::vector{x, offset, gain, bias} : std::vector{x, gain, bias};
  }
};

Inputs inputs(bool with_offset, std::int64_t rows, at::ScalarType type, at::ScalarType figures,
              std::int64_t width = 7) {
  const at::Tensor x = (draw("x", {images, channels, 5, width}) + 3).to(type);
  return {x.contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true),
          with_offset ? draw("offset", {images, channels}).to(figures).set_requires_grad(true) : at::Tensor(),
          draw("gain", {rows, channels}).to(figures).set_requires_grad(true),
          draw("bias", {rows, channels}).to(figures).set_requires_grad(true)};
}

struct Precision {
  at::ScalarType type, figures;
  double bound;
};
constexpr Precision precisions[] = {
    {at::kDouble, at::kDouble, 1e-12}, {at::kFloat, at::kFloat, 3e-6}, {at::kBFloat16, at::kFloat, 1e-2}};

/// The pass and its gradients against torch's, of the very numbers that it is given, in float64.
void expect_torchs(const Precision& precision, bool with_offset, std::int64_t rows, bool silu) {
  SCOPED_TRACE(fmt::format("{}, offset {}, {} rows, silu {}", c10::toString(precision.type), with_offset, rows, silu));
  const Inputs given = inputs(with_offset, rows, precision.type, precision.figures);
  const at::Tensor y = silu ? group_norm_silu(given.x, given.offset, given.gain, given.bias, groups, eps)
                            : group_norm_pass(given.x, given.gain, given.bias, groups, eps);
  EXPECT_EQ(y.scalar_type(), precision.type);
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  std::vector<at::Tensor> exact;
  for (const at::Tensor& tensor : given.all())
    exact.push_back(tensor.detach().to(at::kDouble).set_requires_grad(true));
  const at::Tensor reference =
      expected(exact[0], with_offset ? exact[1] : at::Tensor(), exact[exact.size() - 2], exact.back(), silu);
  const at::Tensor g = draw("g", y.sizes()).to(precision.type);
  const auto found = torch::autograd::grad({y}, given.all(), {g});
  const auto gradients = torch::autograd::grad({reference}, exact, {g.to(at::kDouble)});
  EXPECT_LT(difference(y.detach(), reference.detach()), precision.bound);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(difference(found[i], gradients[i]), precision.bound) << "input " << i;
    EXPECT_EQ(found[i].scalar_type(), given.all()[i].scalar_type());
  }
}

TEST(GroupNormPasses, AndTheirGradientsEqualTorchs) {
  for (const Precision& precision : precisions)
    for (const std::int64_t rows : {std::int64_t{1}, images}) {
      expect_torchs(precision, false, rows, false);
      expect_torchs(precision, false, rows, true);
      expect_torchs(precision, true, rows, true);
    }
}

TEST(GroupNormPasses, AreDifferentiableTwice) {
  for (const bool silu : {false, true}) {
    const Inputs given = inputs(silu, images, at::kDouble, at::kDouble, 1);
    const auto part = [&](const std::vector<at::Tensor>& all) {
      const at::Tensor y = silu ? group_norm_silu(all[0], all[1], all[2], all[3], groups, eps)
                                : group_norm_pass(all[0], all[1], all[2], groups, eps);
      return (y.square() * draw("weights", y.sizes())).sum();
    };
    std::vector<at::Tensor> leaves = given.all();
    leaves[0] = given.x.detach().contiguous().set_requires_grad(true);
    EXPECT_LT(test::gradient_error(part, leaves), 1e-7);
    EXPECT_LT(test::second_gradient_error(part, leaves), 1e-6);
  }
}

TEST(GroupNormPasses, TakeAnyOrderAndAConstantMap) {
  const Inputs given = inputs(true, 1, at::kFloat, at::kFloat);
  const at::Tensor y = group_norm_silu(given.x, given.offset, given.gain, given.bias, groups, eps);
  const at::Tensor rows =
      group_norm_silu(given.x.contiguous(), given.offset, given.gain, given.bias, groups, eps);
  EXPECT_TRUE(at::equal(y, rows));
  const at::Tensor flat = at::full({1, channels, 4, 4}, 0.5, at::kFloat);
  const at::Tensor of_flat = group_norm_silu(flat, {}, given.gain, given.bias, groups, eps);
  EXPECT_LT(difference(of_flat, at::silu(over(given.bias.detach().to(at::kDouble))).expand_as(of_flat)),
            1e-4);
}

TEST(GroupNorm, TakesMapsApart) {
  for (const Precision& precision : precisions) {
    GroupNorm norm(groups, channels, eps);
    norm.to(precision.figures);
    const at::NoGradGuard no_grad;
    norm.parameters()[0].copy_(draw("gain", {channels}));
    norm.parameters()[1].copy_(draw("bias", {channels}));
    const at::Tensor x = (draw("x", {images, channels, 5, 7}) + 3).to(precision.type);
    // A group reaches over an edge.
    const auto apart = norm.forward_silu_apart(x.split_with_sizes({4, 6, 2}, 1));
    ASSERT_EQ(apart.size(), 3U);
    EXPECT_EQ(apart[0].scalar_type(), precision.type);
    EXPECT_LT(difference(at::cat(apart, 1), norm.forward_silu(x).to(at::kDouble)), precision.bound);
    EXPECT_THROW(norm.forward_silu_apart({x.narrow(1, 0, 4)}), c10::Error);
    const at::AutoGradMode recording(true);
    EXPECT_THROW(norm.forward_silu_apart({x}), c10::Error);
  }
}

TEST(GroupNorm, TakesATimesOffsetAndModulation) {
  GroupNorm norm(groups, channels, eps);
  norm.to(at::kDouble);
  {
    const at::NoGradGuard no_grad;
    norm.parameters()[0].copy_(draw("gain", {channels}));
    norm.parameters()[1].copy_(draw("bias", {channels}));
  }
  const at::Tensor x = draw("x", {images, channels, 5, 7}), e = draw("e", {images, channels}),
                   f = draw("f", {images, channels});
  EXPECT_LT(difference(norm.forward(x), at::group_norm(x, groups, norm.parameters()[0], norm.parameters()[1], eps)),
            1e-12);
  EXPECT_LT(difference(norm.forward_silu(x), at::silu(norm.forward(x))), 1e-12);
  EXPECT_LT(difference(norm.forward_silu(x, e), at::silu(norm.forward(x + over(e)))), 1e-12);
  EXPECT_LT(
      difference(norm.forward_modulated_silu(x, e, f), at::silu(norm.forward(x) * (1 + over(e)) + over(f))),
      1e-12);
}

}  // namespace
}  // namespace ganymede
