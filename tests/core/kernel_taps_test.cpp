#include "core/kernels/cpu/kernel_taps.h"

#include <gtest/gtest.h>

#include "core/philox.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape, at::ScalarType type) {
  return RandomStream({.seed = 1, .phase = "taps", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape)
      .to(type);
}

const TapMap plain;
/// Two phases of two taps, with one, two and four sources.
const TapMap folding{4, 0.5, {{{0}, {1, 2}}, {{0, 1, 2, 3}, {3}}}};

double relative(const at::Tensor& value, const at::Tensor& expected) {
  return ((value.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

void expect_map_and_adjoint(const TapMap& map, std::int64_t channels, std::int64_t width,
                            at::ScalarType weight, at::ScalarType type, double bound) {
  SCOPED_TRACE(fmt::format("{} channels, width {}, {} to {}", channels, width, c10::toString(weight),
                           c10::toString(type)));
  const at::Tensor w = draw("w", {channels, map.inputs, width}, weight);
  const at::Tensor matrix = map.matrix(at::kDouble);
  const double scale = 1.7;
  const at::Tensor expected = (at::matmul(matrix, w.to(at::kDouble)) * scale)
                                  .view({channels, map.phases(), map.outputs(), width})
                                  .transpose(0, 1);
  const at::Tensor mapped = cpu::map_taps(map, w, scale, type);
  EXPECT_EQ(mapped.scalar_type(), type);
  EXPECT_LT(relative(mapped.view_as(expected), expected), bound);

  const at::Tensor g = draw("g", mapped.sizes(), type);
  const auto [gathered, product] = cpu::gather_taps(map, g, w, scale);
  const at::Tensor rows = g.to(at::kDouble)
                              .view({map.phases(), channels, map.outputs(), width})
                              .transpose(0, 1)
                              .reshape({channels, map.phases() * map.outputs(), width});
  const at::Tensor adjoint = at::matmul(matrix.t(), rows) * scale;
  const double weight_bound = weight == at::kDouble ? 1e-14 : 1e-6;
  EXPECT_LT(relative(gathered, adjoint), weight_bound);
  const double inner = (adjoint * w.to(at::kDouble)).sum().item<double>();
  EXPECT_NEAR(product.item<double>(), inner, 10 * weight_bound * (adjoint.norm() * w.norm()).item<double>());
}

TEST(KernelTaps, AreTheirMatrixAndItsTranspose) {
  for (const TapMap* map : {&plain, &folding})
    for (const auto& [channels, width] : {std::pair{1, 1}, {3, 5}, {17, 16}, {9, 100}}) {
      expect_map_and_adjoint(*map, channels, width, at::kDouble, at::kDouble, 1e-14);
      expect_map_and_adjoint(*map, channels, width, at::kFloat, at::kFloat, 1e-6);
      expect_map_and_adjoint(*map, channels, width, at::kFloat, at::kBFloat16, 4e-3);
      expect_map_and_adjoint(*map, channels, width, at::kFloat, at::kHalf, 5e-4);
    }
}

TEST(KernelTaps, RoundToNearestEven) {
  // Half-way cases, both ways, and a NaN.
  const at::Tensor w = at::tensor({1.00390625f, 1.01171875f, -1.00390625f, std::nanf("")}).view({1, 1, 4});
  const at::Tensor expected = w.to(at::kBFloat16), mapped = cpu::map_taps(plain, w, 1, at::kBFloat16);
  EXPECT_TRUE(at::equal(mapped.narrow(2, 0, 3), expected.narrow(2, 0, 3)));
  EXPECT_TRUE(mapped.isnan()[0][0][3].item<bool>());
}

}  // namespace
}  // namespace ganymede
