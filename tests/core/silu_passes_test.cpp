#include "core/kernels/cpu/silu_passes.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/philox.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  const at::Tensor x = RandomStream({.seed = 2, .phase = "silu", .stream = name})
                           .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
                           .view(shape);
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

at::Tensor wide(const at::Tensor& figures) {
  return figures.to(at::kDouble).unsqueeze(-1).unsqueeze(-1);
}

double difference(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

struct Precision {
  at::ScalarType type, figures;
  double bound, of_sums;
};

TEST(SiluPasses, AreTheComposedForms) {
  for (const Precision& precision :
       {Precision{at::kDouble, at::kDouble, 1e-14, 1e-14}, Precision{at::kFloat, at::kFloat, 3e-7, 1e-6},
        Precision{at::kBFloat16, at::kFloat, 4e-3, 1e-6}, Precision{at::kHalf, at::kFloat, 5e-4, 1e-6}})
    for (const std::int64_t rows : {1, 3}) {
      SCOPED_TRACE(fmt::format("{}, {} rows", c10::toString(precision.type), rows));
      const at::Tensor x = (draw("x", {3, 37, 7, 5}) * 4).to(precision.type),
                       g = draw("g", x.sizes()).to(precision.type);
      const auto figures = [&](const char* name) { return draw(name, {rows, 37}).to(precision.figures); };
      const at::Tensor scale = figures("scale"), shift = figures("shift"), mean = figures("mean"),
                       slope = figures("slope"), constant = figures("constant");
      const at::Tensor exact = x.to(at::kDouble), u = exact * wide(scale) + wide(shift), s = at::sigmoid(u);
      EXPECT_LT(difference(cpu::scale_shift_silu(x, scale, shift), u * s), precision.bound);
      const at::Tensor inner = g.to(at::kDouble) * s * (1 + u * (1 - s));
      const at::Tensor sums = cpu::silu_gradient_sums(g, x, scale, shift, mean);
      EXPECT_LT(difference(sums[0], inner.sum({2, 3})), precision.of_sums);
      EXPECT_LT(difference(sums[1], (inner * (exact - wide(mean))).sum({2, 3})), precision.of_sums);
      EXPECT_LT(difference(cpu::silu_input_gradient(g, x, scale, shift, slope, constant),
                           inner * wide(scale) + exact * wide(slope) + wide(constant)),
                precision.bound);
    }
}

TEST(SiluPasses, LargeNumbersAndNanPass) {
  at::Tensor x = at::zeros({1, 20, 1, 1}).contiguous(at::MemoryFormat::ChannelsLast);
  x[0][0] = 1e6;
  x[0][1] = -1e6;
  x[0][2] = std::nan("");
  const at::Tensor y = cpu::scale_shift_silu(x, at::ones({1, 20}), at::zeros({1, 20}));
  EXPECT_EQ(y[0][0].item<float>(), 1e6F);
  EXPECT_NEAR(y[0][1].item<float>(), 0, 1e-20);
  EXPECT_TRUE(std::isnan(y[0][2].item<float>()));
  EXPECT_EQ(y[0][3].item<float>(), 0);
}

}  // namespace
}  // namespace ganymede
