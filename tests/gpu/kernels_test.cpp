// Every CUDA kernel of ours against its CPU form.

#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/activation.h"
#include "core/adam.h"
#include "core/channel_passes.h"
#include "core/device.h"
#include "core/kernels/cuda/pixels.h"
#include "core/philox.h"
#include "core/tap_map.h"
#include "datasets/pixel_values.h"
#include "models/layers/bias_activation.h"
#include "models/layers/filter.h"
#include "models/layers/normalise.h"
#include "models/layers/weighted.h"

namespace ganymede {
namespace {

constexpr at::DeviceType gpu = at::kCUDA;

at::Tensor draw(const char* stream, std::int64_t count, at::ScalarType dtype) {
  return RandomStream({.seed = 4, .phase = "kernels", .stream = stream}).normal(0, 1, count, dtype)[0];
}

double relative_error(const at::Tensor& value, const at::Tensor& reference) {
  const at::Tensor exact = reference.cpu().to(at::kDouble);
  return ((value.cpu().to(at::kDouble) - exact).norm() / (exact.norm() + 1e-9)).item<double>();
}

struct Arenas {
  Arenas(std::int64_t count, at::ScalarType dtype, at::Device device)
      : weights(draw("w", count, dtype).to(device)),
        gradient(draw("g", count, dtype).to(device)),
        m(draw("m", count, dtype).to(device)),
        v(draw("v", count, dtype).square().to(device)),
        averages({draw("e", count, dtype).to(device), draw("f", count, dtype).to(device)}) {}
  at::Tensor weights, gradient, m, v;
  std::vector<at::Tensor> averages;

  void step(std::int64_t t, const at::Tensor& gate = {}) {
    adam_step({.lr = 1e-2,
               .beta1 = 0.5,
               .beta2 = 0.99,
               .eps = 1e-6,
               .t = t,
               .gradient_scale = 0.7,
               .weight_decay = 0.1},
              weights, gradient, m, v, {{averages[0], 0.9}, {averages[1], 0}}, gate);
  }
};

TEST(AdamKernel, EqualsTheCpus) {
  for (const auto& [dtype, bound] : {std::pair(at::kFloat, 1e-6), std::pair(at::kDouble, 1e-14)})
    for (const std::int64_t count : {1, 255, 256, 257, 100'003, 5'000'000}) {
      Arenas host(count, dtype, at::kCPU), device(count, dtype, gpu);
      for (std::int64_t t = 1; t <= 3; ++t) {
        host.step(t);
        device.step(t);
      }
      EXPECT_LT(relative_error(device.weights, host.weights), bound) << count;
      EXPECT_LT(relative_error(device.m, host.m), bound) << count;
      EXPECT_LT(relative_error(device.v, host.v), bound) << count;
      for (std::size_t i = 0; i < 2; ++i)
        EXPECT_LT(relative_error(device.averages[i], host.averages[i]), bound) << count << ", average " << i;
    }
}

TEST(AdamKernel, AGateDecidesAndCounts) {
  Arenas device(5'000, at::kDouble, gpu), host(5'000, at::kDouble, at::kCPU);
  const auto gate = [](double skip, double skipped) {
    return at::tensor({skip, skipped}, at::kDouble).to(gpu);
  };
  device.step(1, gate(1, 1));
  EXPECT_EQ(relative_error(device.weights, host.weights), 0);
  EXPECT_EQ(relative_error(device.averages[1], host.averages[1]), 0);
  device.step(2, gate(0, 1));
  host.step(1);
  EXPECT_LT(relative_error(device.weights, host.weights), 1e-14);
}

TEST(AdamKernel, TakesNothing) {
  Arenas device(1, at::kFloat, gpu);
  const at::Tensor none = at::empty({0}, device.weights.options());
  adam_step({.lr = 1, .t = 1}, none, none, none, none, {});
}

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

at::Tensor shaped(const char* stream, at::IntArrayRef shape, at::ScalarType dtype) {
  const at::Tensor x = draw(stream, c10::multiply_integers(shape), at::kDouble).view(shape).to(dtype);
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

// Odd shapes, packs of four channels and none, positions enough to be cut into slabs.
TEST(ChannelPassKernels, EqualTheCpus) {
  const std::vector<std::int64_t> shapes[] = {{1, 1, 1, 1},      {2, 1, 3, 5},     {3, 17, 1, 1},
                                              {2, 33, 7, 5},     {1, 384, 3, 3},   {3, 12, 9, 9},
                                              {2, 64, 128, 128}, {70'000, 3, 1, 1}};
  for (const Precision& precision : precisions)
    for (const auto& shape : shapes)
      for (const std::int64_t rows : {std::int64_t{1}, shape[0]}) {
        SCOPED_TRACE(
            fmt::format("{} {}, {} rows", c10::toString(precision.type), fmt::join(shape, "x"), rows));
        const at::Tensor x = shaped("x", shape, precision.type), g = shaped("g", shape, precision.type);
        const auto figures = [&](const char* name) {
          return shaped(name, {rows, shape[1]}, precision.figures);
        };
        const at::Tensor scale = figures("scale"), shift = figures("shift"), mean = figures("mean"),
                         slope = figures("slope"), constant = figures("constant");
        const at::Tensor dx = x.to(gpu), dg = g.to(gpu), dscale = scale.to(gpu), dshift = shift.to(gpu);
        const double sum_bound = precision.type == at::kDouble ? 1e-12 : 1e-5;
        EXPECT_LE(relative_error(image_sums(dx), image_sums(x)), sum_bound);
        for (const bool relu : {false, true}) {
          EXPECT_LE(relative_error(scale_shift(dx, dscale, dshift, relu), scale_shift(x, scale, shift, relu)),
                    precision.bound);
          EXPECT_LE(relative_error(gradient_sums(dg, dx, dscale, dshift, mean.to(gpu), relu),
                                   gradient_sums(g, x, scale, shift, mean, relu)),
                    sum_bound);
          EXPECT_LE(
              relative_error(input_gradient(dg, dx, dscale, dshift, slope.to(gpu), constant.to(gpu), relu),
                             input_gradient(g, x, scale, shift, slope, constant, relu)),
              precision.bound);
        }
      }
}

TEST(ChannelPassKernels, ALargeMeanDoesNotCancelTheVariance) {
  const at::Tensor x = shaped("x", {2, 5, 16, 16}, at::kFloat) + 1e4;
  const at::Tensor mean = image_sums(x.to(gpu)) / 256;
  const at::Tensor variance = mean.select(0, 1) - mean.select(0, 0).square();
  EXPECT_LE(relative_error(variance, x.to(at::kDouble).var({2, 3}, /*unbiased=*/false)), 1e-3);
}

TEST(ChannelPassKernels, NanPasses) {
  at::Tensor x = shaped("x", {1, 20, 2, 2}, at::kHalf);
  x[0][19][1][1] = std::nan("");
  const at::Tensor one = at::ones({1, 20}).to(gpu), zero = at::zeros({1, 20}).to(gpu);
  EXPECT_TRUE(std::isnan(scale_shift(x.to(gpu), one, zero, true)[0][19][1][1].item<float>()));
  EXPECT_TRUE(std::isnan(image_sums(x.to(gpu))[0][0][19].item<double>()));
}

/// Value and gradients, of first and second order, of a function of the inputs there.
std::vector<at::Tensor> derivatives(
    const std::vector<at::Tensor>& inputs, at::Device device,
    const std::function<at::Tensor(const std::vector<at::Tensor>&)>& function) {
  std::vector<at::Tensor> here;
  for (const at::Tensor& input : inputs) here.push_back(input.to(device).detach().requires_grad_(true));
  const at::Tensor y = function(here);
  std::vector<at::Tensor> all{y};
  const auto first = torch::autograd::grad({y.sin().sum()}, here, {}, true, false);
  const auto graph = torch::autograd::grad({y.sin().sum()}, here, {}, true, true);
  at::Tensor sum = at::zeros({}, y.options());
  for (const at::Tensor& gradient : graph) sum = sum + gradient.square().sum();
  const auto second = torch::autograd::grad({sum}, here);
  all.insert(all.end(), first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

void expect_same(const std::vector<at::Tensor>& device, const std::vector<at::Tensor>& host) {
  for (std::size_t i = 0; i < host.size(); ++i) EXPECT_LE(relative_error(device[i], host[i]), 1e-10) << i;
}

TEST(NormaliseBatch, EqualsTheCpusToSecondOrder) {
  const auto alone = make_single_communicator();
  for (const std::int64_t group : {6, 3})
    for (const std::int64_t rows : {1, 6}) {
      const std::vector<at::Tensor> inputs{shaped("x", {6, 8, 5, 4}, at::kDouble),
                                           shaped("gain", {rows, 8}, at::kDouble),
                                           shaped("bias", {rows, 8}, at::kDouble)};
      const auto normalise = [&](const std::vector<at::Tensor>& at) {
        return normalise_batch(at[0], at[1], at[2], {1e-5, Activation::relu}, {0, 6, group}, *alone).y;
      };
      expect_same(derivatives(inputs, gpu, normalise), derivatives(inputs, at::kCPU, normalise));
    }
}

TEST(WeightForm, EqualsTheCpusToSecondOrder) {
  for (const WeightForm form : {WeightForm::plain, WeightForm::after_upsampling, WeightForm::before_pooling})
    for (const bool spectral : {false, true}) {
      const at::Tensor weight = shaped("weight", {6, 5, 3, 3}, at::kDouble);
      const auto use = [&](const std::vector<at::Tensor>& at) {
        SpectralFactors factors;
        if (spectral) {
          const at::NoGradGuard no_grad;
          factors.u = shaped("u", {6}, at::kDouble).to(at[0].device());
          factors.v = shaped("v", {45}, at::kDouble).to(at[0].device());
          factors.sigma = at::dot(factors.u, at::mv(at[0].permute({0, 2, 3, 1}).flatten(1), factors.v));
        }
        return use_weight(at[0], form, factors, make_weight(at[0], form, factors, at::kDouble));
      };
      expect_same(derivatives({weight}, gpu, use), derivatives({weight}, at::kCPU, use));
      for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
        const auto made = [&](at::Device device) {
          return make_weight(weight.to(device, at::kFloat), form, {}, type);
        };
        EXPECT_LE(relative_error(made(gpu), made(at::kCPU)), type == at::kHalf ? 1e-3 : 8e-3);
      }
    }
}

at::Tensor in_order(const at::Tensor& x, at::MemoryFormat order) {
  return x.dim() == 4 ? x.contiguous(order) : x;
}
constexpr at::MemoryFormat orders[] = {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast};

// Odd shapes, packs of four values within a channel, across channels and none; few and many rows.
TEST(ActivationKernels, EqualTheCpus) {
  const std::vector<std::int64_t> shapes[] = {{1, 1, 1, 1},    {3, 5, 7, 3},   {2, 8, 5, 5}, {3, 6, 4, 2},
                                              {2, 12, 64, 48}, {5, 7},         {6, 32},      {70'000, 3},
                                              {2, 3, 4, 2, 5}, {40, 512, 8, 8}};
  for (const Precision& precision : precisions)
    for (const auto& shape : shapes)
      for (const at::MemoryFormat order : orders)
        for (const double bound : {0.0, 1.5}) {
          SCOPED_TRACE(
              fmt::format("{} {}, bound {}", c10::toString(precision.type), fmt::join(shape, "x"), bound));
          const ActivationFigures figures{0.2, 1.4142135623730951, bound};
          const at::Tensor x = in_order(shaped("x", shape, precision.type), order),
                           g = in_order(shaped("g", shape, precision.type), order),
                           bias = shaped("bias", {shape[1]}, precision.type);
          for (const at::Tensor& added : {bias, at::Tensor()}) {
            const at::Tensor y = activation(x, added, figures);
            const at::Tensor dy = activation(x.to(gpu), added.defined() ? added.to(gpu) : added, figures);
            EXPECT_EQ(dy.strides(), y.strides());
            EXPECT_LE(relative_error(dy, y), precision.bound);
            const at::Tensor dx = activation_gradient(g.to(gpu), y.to(gpu), figures);
            EXPECT_LE(relative_error(dx, activation_gradient(g, y, figures)), precision.bound);
          }
        }
}

TEST(ActivationKernels, TakeNothing) {
  const at::Tensor none = at::empty({0, 4, 2, 2}).to(gpu), bias = at::zeros({4}).to(gpu);
  EXPECT_EQ(bias_activation(none, bias, {}).sizes(), none.sizes());
  EXPECT_EQ(filtered_up(none).sizes(), at::IntArrayRef({0, 4, 4, 4}));
}

// Where memory is not aligned, and NaN.
TEST(ActivationKernels, TakeAnyAddress) {
  const at::Tensor x = shaped("x", {4'097}, at::kHalf), on_gpu = x.to(gpu);
  const at::Tensor part = on_gpu.narrow(0, 1, 4'096).view({64, 64});
  const ActivationFigures figures{0.2, 1, 0};
  EXPECT_TRUE(at::equal(activation(part, {}, figures).cpu(), activation(part.cpu(), {}, figures)));
  on_gpu[7].fill_(std::nan(""));
  EXPECT_TRUE(std::isnan(activation(part, {}, {0.2, 1, 1})[0][6].item<float>()));
}

TEST(BiasActivation, EqualsTheCpusToSecondOrder) {
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{3, 5, 7, 3}, {2, 8, 4, 4}, {6, 7}})
    for (const at::MemoryFormat order : orders)
      for (const double bound : {0.0, 1.5}) {
        const std::vector<at::Tensor> inputs{in_order(shaped("x", shape, at::kDouble), order),
                                             shaped("bias", {shape[1]}, at::kDouble)};
        const auto activate = [&](const std::vector<at::Tensor>& at) {
          return bias_activation(at[0], at[1], {.bound = bound});
        };
        expect_same(derivatives(inputs, gpu, activate), derivatives(inputs, at::kCPU, activate));
      }
}

constexpr Resampling resamplings[] = {
    {.up = 2, .before = 2, .after = 1},   {.down = 2, .before = 1, .after = 1},
    {.before = 1, .after = 1, .gain = 2}, {.before = 2, .after = 2},
    {.up = 2, .down = 3, .before = 3},    {.before = -1, .after = 4},
};

TEST(ResampleKernel, EqualsTheCpus) {
  const std::vector<std::int64_t> shapes[] = {
      {1, 1, 4, 5}, {3, 5, 7, 6}, {2, 8, 9, 9}, {70'000, 3, 4, 4}, {2, 64, 33, 32}};
  for (const Precision& precision : precisions)
    for (const auto& shape : shapes)
      for (const at::MemoryFormat order : orders) {
        const at::Tensor x = in_order(shaped("x", shape, precision.type), order);
        for (const Resampling& r : resamplings) {
          SCOPED_TRACE(fmt::format("{} {}, up {}, down {}, before {}", c10::toString(precision.type),
                                   fmt::join(shape, "x"), r.up, r.down, r.before));
          const at::Tensor y = filtered(x.to(gpu), r);
          EXPECT_TRUE(y.is_contiguous(order));
          EXPECT_LE(relative_error(y, filtered(x, r)), precision.bound);
        }
      }
}

TEST(Filter, EqualsTheCpusToSecondOrder) {
  for (const Resampling& r : resamplings)
    for (const at::MemoryFormat order : orders) {
      const at::Tensor x = in_order(shaped("x", {2, 5, 6, 7}, at::kDouble), order);
      const auto resampled = [&](const std::vector<at::Tensor>& at) { return filtered(at[0], r); };
      expect_same(derivatives({x}, gpu, resampled), derivatives({x}, at::kCPU, resampled));
    }
}

TEST(Pixels, EqualTheLoaders) {
  const PixelValues values(ElementType::uint8, 0, 255);
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{1, 1, 1, 1}, {3, 3, 7, 5}, {5, 4, 6, 11}})
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor bytes =
          at::arange(c10::multiply_integers(shape), at::kLong).mul(37).to(at::kByte).view(shape);
      const at::Tensor flips = at::arange(shape[0], at::kLong).remainder(2).to(at::kBool);
      at::Tensor expected =
          at::empty(shape, at::TensorOptions(type).memory_format(at::MemoryFormat::ChannelsLast));
      for (std::int64_t i = 0; i < shape[0]; ++i)
        values.convert(
            {static_cast<const std::byte*>(bytes[i].data_ptr()), static_cast<std::size_t>(bytes[i].numel())},
            shape[1], shape[2], shape[3], flips[i].item<bool>(), type, expected[i].data_ptr());
      const at::Tensor images = cuda::images_of_bytes(bytes.to(gpu), flips.to(gpu), type);
      EXPECT_TRUE(images.is_contiguous(at::MemoryFormat::ChannelsLast));
      EXPECT_TRUE(at::equal(images.cpu(), expected)) << c10::toString(type);
    }
}

TEST(ToDevice, CopiesInOrderWithTheCurrentStream) {
  for (int round = 0; round < 20; ++round) {
    // The host tensor dies, and its pinned copy may be used again, before the GPU has come to the copy.
    const at::Tensor on_gpu = to_device(at::full({1 << 20}, round, at::kLong), gpu);
    EXPECT_EQ((on_gpu - round).abs().sum().item<std::int64_t>(), 0);
  }
  const at::Tensor images = at::rand({2, 3, 8, 8}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor copy = to_device(images, gpu);
  EXPECT_TRUE(copy.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(copy.cpu(), images));
}

}  // namespace
}  // namespace ganymede
