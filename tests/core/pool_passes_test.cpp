#include "core/kernels/cpu/pool_passes.h"

#include <gtest/gtest.h>

#include "core/philox.h"

namespace ganymede {
namespace {

struct Case {
  std::int64_t images, channels, height, width;
};
constexpr Case cases[] = {{1, 1, 5, 5}, {2, 33, 7, 5}, {3, 16, 8, 9}};

at::Tensor draw(const Case& c, at::ScalarType type) {
  const at::Tensor flat = RandomStream({.seed = 1, .phase = "pool"})
                              .normal(0, 1, c.images * c.channels * c.height * c.width, at::kDouble);
  return flat.view({c.images, c.channels, c.height, c.width})
      .to(type)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

/// `like`'s shape within a wider tensor, so that a write beside it shows.
struct Slice {
  explicit Slice(const at::Tensor& like)
      : whole(at::full({like.size(0), like.size(1) + 5, like.size(2), like.size(3)}, 7, like.options())
                  .contiguous(at::MemoryFormat::ChannelsLast)),
        part(whole.narrow(1, 2, like.size(1))) {}
  bool kept_its_neighbours() const {
    return (whole.narrow(1, 0, 2) == 7).all().item<bool>() &&
           (whole.narrow(1, 2 + part.size(1), 3) == 7).all().item<bool>();
  }
  at::Tensor whole, part;
};

TEST(PoolPasses, MaximumIsTorchs) {
  for (const Case& c : cases)
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
      for (const auto& [stride, padding] : {std::pair{1, 1}, {2, 0}, {2, 1}, {1, 0}}) {
        const at::Tensor x = draw(c, type);
        const at::Tensor expected = at::max_pool2d(x, {3, 3}, {stride, stride}, {padding, padding});
        const Slice slice(expected);
        cpu::max_pool3(x, stride, padding, slice.part);
        EXPECT_TRUE(at::equal(slice.part, expected)) << stride << " " << padding;
        EXPECT_TRUE(slice.kept_its_neighbours());
      }
}

TEST(PoolPasses, MeanLeavesThePaddingOut) {
  for (const Case& c : cases)
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = draw(c, type), bias = at::linspace(-0.3, 0.3, c.channels);
      const at::Tensor mean =
          at::avg_pool2d(x.to(at::kDouble), {3, 3}, {1, 1}, {1, 1}, false, /*count_include_pad=*/false);
      const at::Tensor expected = (mean + bias.view({1, -1, 1, 1})).relu();
      const Slice slice(x);
      cpu::mean_pool3_relu(x, bias, slice.part);
      EXPECT_TRUE(at::allclose(slice.part.to(at::kDouble), expected, type == at::kFloat ? 1e-5 : 8e-3, 1e-6));
      EXPECT_TRUE(slice.kept_its_neighbours());
    }
}

TEST(PoolPasses, RefuseOtherShapes) {
  const at::Tensor x = draw({2, 3, 4, 4}, at::kFloat);
  EXPECT_THROW(cpu::max_pool3(x, 1, 1, x.narrow(2, 0, 3)), c10::Error);
  EXPECT_THROW(cpu::max_pool3(x.contiguous(), 1, 1, at::empty_like(x)), c10::Error);
  EXPECT_THROW(cpu::mean_pool3_relu(x, at::zeros({2}), at::empty_like(x)), c10::Error);
}

}  // namespace
}  // namespace ganymede
