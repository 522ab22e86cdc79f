#include "models/layers/dropout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace ganymede {
namespace {

const LayerDraws draws{{.seed = 3, .phase = "dropout", .step = 7}, 5};

/// What is dropped of [images, C, H, W], by its definition.
at::Tensor mask(const std::string& layer, double p, at::IntArrayRef shape) {
  RandomKey key = draws.key;
  key.layer = layer;
  key.stream = "dropout";
  const RandomStream random(key);
  const double threshold = std::round(p * 65536);
  at::Tensor rows = at::empty({shape[0], c10::multiply_integers(shape) / shape[0]}, at::kDouble);
  for (std::int64_t n = 0; n < rows.size(0); ++n)
    for (std::int64_t i = 0; i < rows.size(1); ++i) {
      const std::uint64_t bits =
          random.bits(static_cast<std::uint64_t>(draws.first + n), static_cast<std::uint32_t>(i / 4));
      rows[n][i] = static_cast<double>((bits >> (16 * (i % 4))) & 0xFFFF) < threshold
                       ? 0
                       : 65536 / (65536 - threshold);
    }
  return rows.view(shape);
}

TEST(Dropout, DropsTheSameInAnyOrderAndType) {
  const Dropout dropout(0.3, "layer");
  // With and without a kernel of their own, and channels that fill no vector.
  const std::vector<std::vector<std::int64_t>> shapes{{3, 16, 4, 4}, {2, 37, 4, 6}, {2, 5, 3, 3}, {4, 30}};
  for (const auto& shape : shapes)
    for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      SCOPED_TRACE(fmt::format("{} of {}", c10::toString(type), shape.size()));
      const at::Tensor expected = mask("layer", 0.3, shape).to(type), x = at::ones(shape, type);
      EXPECT_TRUE(at::allclose(dropout.forward(x, &draws), expected, 1e-6, 0));
      if (shape.size() != 4) continue;
      const at::Tensor last = x.contiguous(at::MemoryFormat::ChannelsLast);
      EXPECT_TRUE(at::allclose(dropout.forward(last, &draws), expected, 1e-6, 0));
    }
}

TEST(Dropout, GradientsAreDroppedAlike) {
  const Dropout dropout(0.3, "layer");
  const at::Tensor x =
      at::ones({2, 20, 4, 4}, at::kDouble).contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true);
  const at::Tensor y = dropout.forward(x, &draws);
  const at::Tensor g = at::ones_like(y).set_requires_grad(true);
  const at::Tensor gradient = torch::autograd::grad({y}, {x}, {g}, true, true)[0];
  EXPECT_TRUE(at::equal(gradient.detach(), y.detach()));
  EXPECT_TRUE(at::equal(torch::autograd::grad({gradient.sum()}, {g})[0], y.detach()));
}

TEST(Dropout, LeavesSamplesAlone) {
  const at::Tensor x = at::ones({2, 20, 4, 4});
  EXPECT_TRUE(Dropout(0.3, "layer").forward(x, nullptr).is_same(x));
}

}  // namespace
}  // namespace ganymede
