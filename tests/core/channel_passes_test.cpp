#include "core/kernels/cpu/channel_passes.h"

#include <gtest/gtest.h>

#include "core/philox.h"

namespace ganymede {
namespace {

/// Odd shapes: no positions but one, channels of no vector's width, more positions than a block.
struct Case {
  std::int64_t images, channels, height, width;
};
constexpr Case cases[] = {{1, 1, 1, 1}, {2, 1, 3, 5}, {3, 17, 1, 1}, {2, 33, 7, 5}, {1, 384, 3, 3}};

struct Precision {
  at::ScalarType type, figures;
  double bound;
};
constexpr Precision precisions[] = {
    {at::kDouble, at::kDouble, 1e-13},
    {at::kFloat, at::kFloat, 1e-5},
    {at::kBFloat16, at::kFloat, 8e-3},
    {at::kHalf, at::kFloat, 1e-3},
};

at::Tensor draw(const char* name, at::IntArrayRef shape, at::ScalarType type) {
  const at::Tensor flat = RandomStream({.seed = 1, .phase = "passes", .stream = name})
                              .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0];
  const at::Tensor x = flat.view(shape).to(type);
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

at::Tensor wide(const at::Tensor& figures) {
  return figures.to(at::kDouble).unsqueeze(-1).unsqueeze(-1);
}

void expect_near(const at::Tensor& value, const at::Tensor& expected, double bound) {
  const double error = (value.to(at::kDouble) - expected).norm().item<double>();
  EXPECT_LE(error, bound * (expected.norm().item<double>() + 1e-3));
}

template <class Body>
void for_each_case(const Body& body) {
  for (const Precision& precision : precisions)
    for (const Case& c : cases)
      for (const std::int64_t rows : {std::int64_t{1}, c.images}) {
        SCOPED_TRACE(fmt::format("{} {}x{}x{}x{}, {} rows", c10::toString(precision.type), c.images,
                                 c.channels, c.height, c.width, rows));
        body(precision, at::IntArrayRef({c.images, c.channels, c.height, c.width}), rows);
      }
}

TEST(ChannelPasses, SumsAreThoseOfEachImage) {
  for_each_case([](const Precision& precision, at::IntArrayRef shape, std::int64_t) {
    const at::Tensor x = draw("x", shape, precision.type), exact = x.to(at::kDouble);
    const at::Tensor sums = cpu::image_sums(x);
    const double bound = precision.type == at::kDouble ? 1e-13 : 1e-5;
    expect_near(sums.select(0, 0), exact.sum({2, 3}), bound);
    expect_near(sums.select(0, 1), exact.square().sum({2, 3}), bound);
  });
}

TEST(ChannelPasses, ALargeMeanDoesNotCancelTheVariance) {
  const at::Tensor x = draw("x", {2, 5, 16, 16}, at::kFloat) + 1e4;
  const at::Tensor mean = cpu::image_sums(x) / 256;
  const at::Tensor variance = mean.select(0, 1) - mean.select(0, 0).square();
  expect_near(variance, x.to(at::kDouble).var({2, 3}, /*unbiased=*/false), 1e-3);
}

TEST(ChannelPasses, ScaleShiftIsTheComposedForm) {
  for_each_case([](const Precision& precision, at::IntArrayRef shape, std::int64_t rows) {
    const at::Tensor x = draw("x", shape, precision.type);
    const at::Tensor scale = draw("scale", {rows, shape[1]}, precision.figures);
    const at::Tensor shift = draw("shift", {rows, shape[1]}, precision.figures);
    const at::Tensor plain = x.to(at::kDouble) * wide(scale) + wide(shift);
    expect_near(cpu::scale_shift(x, scale, shift, false), plain, precision.bound);
    expect_near(cpu::scale_shift(x, scale, shift, true), at::relu(plain), precision.bound);
  });
}

TEST(ChannelPasses, NanPasses) {
  at::Tensor x = draw("x", {1, 20, 2, 2}, at::kBFloat16);
  x[0][19][1][1] = std::nan("");
  const at::Tensor one = at::ones({1, 20}), zero = at::zeros({1, 20});
  EXPECT_TRUE(std::isnan(cpu::scale_shift(x, one, zero, true)[0][19][1][1].item<float>()));
  EXPECT_TRUE(std::isnan(cpu::image_sums(x)[0][0][19].item<double>()));
}

TEST(ChannelPasses, GradientsAreTheComposedForms) {
  for_each_case([](const Precision& precision, at::IntArrayRef shape, std::int64_t rows) {
    const at::Tensor x = draw("x", shape, precision.type), g = draw("g", shape, precision.type);
    const auto figures = [&](const char* name) { return draw(name, {rows, shape[1]}, precision.figures); };
    const at::Tensor scale = figures("scale"), shift = figures("shift"), mean = figures("mean"),
                     slope = figures("slope"), constant = figures("constant");
    const at::Tensor exact = x.to(at::kDouble);
    for (const bool relu : {false, true}) {
      at::Tensor masked = g.to(at::kDouble);
      if (relu) masked = masked * (exact * wide(scale) + wide(shift) > 0);
      const at::Tensor sums = cpu::gradient_sums(g, x, scale, shift, mean, relu);
      const double bound = precision.type == at::kDouble ? 1e-13 : 1e-5;
      expect_near(sums.select(0, 0), masked.sum({2, 3}), bound);
      expect_near(sums.select(0, 1), (masked * (exact - wide(mean))).sum({2, 3}), bound);
      expect_near(cpu::input_gradient(g, x, scale, shift, slope, constant, relu),
                  masked * wide(scale) + exact * wide(slope) + wide(constant), precision.bound);
    }
  });
}

}  // namespace
}  // namespace ganymede
