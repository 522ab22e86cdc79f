// Every CUDA kernel of ours against its CPU form.

#include <gtest/gtest.h>

#include "core/adam.h"
#include "core/device.h"
#include "core/philox.h"

namespace ganymede {
namespace {

constexpr at::DeviceType gpu = at::kCUDA;

at::Tensor draw(const char* stream, std::int64_t count, at::ScalarType dtype) {
  return RandomStream({.seed = 4, .phase = "kernels", .stream = stream}).normal(0, 1, count, dtype)[0];
}

double relative_error(const at::Tensor& value, const at::Tensor& reference) {
  return ((value.cpu() - reference).norm() / reference.norm()).item<double>();
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

  void step(std::int64_t t) {
    adam_step({.lr = 1e-2, .beta1 = 0.5, .beta2 = 0.99, .eps = 1e-6, .t = t, .gradient_scale = 0.7}, weights,
              gradient, m, v, {{averages[0], 0.9}, {averages[1], 0}});
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

TEST(AdamKernel, TakesNothing) {
  Arenas device(1, at::kFloat, gpu);
  const at::Tensor none = at::empty({0}, device.weights.options());
  adam_step({.lr = 1, .t = 1}, none, none, none, none, {});
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
