#include "models/layers/virtual_batch_norm.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "models/layers/initialise.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

constexpr std::int64_t reference = 5;

at::Tensor maps(std::int64_t count) {
  return RandomStream({.seed = 3, .phase = "maps"})
                 .normal(0, count, 2 * 3 * 4, at::kDouble)
                 .view({count, 2, 3, 4}) *
             2 +
         1;
}

std::shared_ptr<VirtualBatchNorm> layer() {
  auto norm = std::make_shared<VirtualBatchNorm>(2, BatchNormOptions{});
  norm->to(at::kDouble);
  return norm;
}

/// x normalised by the moments of the given images, with these weights.
at::Tensor normalised(const at::Tensor& x, const at::Tensor& images, const at::Tensor& weights) {
  const at::Tensor shares = (weights / weights.sum()).view({-1, 1, 1, 1});
  const at::Tensor mean = (images.mean({2, 3}, true) * shares).sum(0, true);
  const at::Tensor square = (images.square().mean({2, 3}, true) * shares).sum(0, true);
  return (x - mean) / (square - mean.square() + 1e-5).sqrt();
}

TEST(VirtualBatchNorm, NormalisesByTheReferenceBatchAndTheImage) {
  const at::Tensor x = maps(reference + 3), virtual_batch = x.narrow(0, 0, reference);
  const at::Tensor y = layer()->forward(x, reference);
  EXPECT_LT((y.narrow(0, 0, reference) -
             normalised(virtual_batch, virtual_batch, at::ones({reference}, at::kDouble)))
                .abs()
                .max()
                .item<double>(),
            1e-12);
  for (std::int64_t i = reference; i < x.size(0); ++i) {
    const at::Tensor image = x.narrow(0, i, 1);
    const at::Tensor expected =
        normalised(image, at::cat({virtual_batch, image}), at::ones({reference + 1}, at::kDouble));
    EXPECT_LT((y.narrow(0, i, 1) - expected).abs().max().item<double>(), 1e-12);
  }
}

TEST(VirtualBatchNorm, TiesNoImageToAnother) {
  const at::Tensor x = maps(reference + 3);
  at::Tensor changed = x.clone();
  changed[reference + 1].neg_();
  const at::Tensor y = layer()->forward(x, reference), z = layer()->forward(changed, reference);
  const at::Tensor moved = (y - z).abs().amax({1, 2, 3}).gt(0);
  EXPECT_EQ(moved.sum().item<std::int64_t>(), 1);
  EXPECT_TRUE(moved[reference + 1].item<bool>());
}

TEST(VirtualBatchNorm, IsDifferentiableTwiceThroughTheReferenceBatch) {
  const auto norm = layer();
  const at::Tensor x = maps(4).set_requires_grad(true);
  const test::LossPart part = [&](const std::vector<at::Tensor>& inputs) {
    return norm->forward(inputs[0], 2).pow(3).mul(maps(5).narrow(0, 1, 4)).sum();
  };
  EXPECT_LT(test::gradient_error(part, {x}), 1e-6);
  EXPECT_LT(test::second_gradient_error(part, {x}), 1e-5);
}

struct WithReference : torch::nn::Module {
  WithReference() : batch(register_module("reference", std::make_shared<ReferenceBatch>(40, 30))) {}
  std::shared_ptr<ReferenceBatch> batch;
};

TEST(ReferenceBatch, IsDrawnFromTheSeed) {
  WithReference a, b, c;
  initialise(a, "n02", 1);
  initialise(b, "n02", 1);
  initialise(c, "n02", 2);
  EXPECT_TRUE(at::equal(a.batch->z(), b.batch->z()));
  EXPECT_FALSE(at::equal(a.batch->z(), c.batch->z()));
  EXPECT_NEAR(a.batch->z().std().item<double>(), 1, 0.1);
}

}  // namespace
}  // namespace ganymede
