#include "models/diffusion/residual_block.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/philox.h"
#include "models/layers/initialise.h"

namespace ganymede {
namespace {

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 6, .phase = "residual block", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

double difference(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

struct Precision {
  at::ScalarType type;
  double bound;
};

/// With gradients maps are put together, and attention takes libtorch's softmax; without, they stay apart, and the rows'
/// own kernel takes it.
TEST(ResidualBlock, GivesTheSameWhereNothingIsLearned) {
  for (const auto& [type, bound] : {Precision{at::kDouble, 1e-13}, {at::kFloat, 1e-6}, {at::kBFloat16, 2e-2}})
    for (const auto& [out, change, scale_shift] : {std::tuple{8, SizeChange::none, false},
                                                   {8, SizeChange::none, true},
                                                   {12, SizeChange::none, false},  // without a conv_shortcut
                                                   {8, SizeChange::up, false},
                                                   {8, SizeChange::down, true}}) {
      SCOPED_TRACE(
          fmt::format("{}, {} channels, change {}", c10::toString(type), out, static_cast<int>(change)));
      ResidualBlock block(12, out, {.embedding = 6, .groups = 4, .scale_shift = scale_shift}, "block",
                          change);
      initialise(block, "xavier", 1);
      block.to(type == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor emb = draw("emb", {2, 6}).to(block.parameters()[0].scalar_type());
      const std::vector<at::Tensor> maps{draw("x", {2, 7, 4, 4}).to(type),
                                         draw("kept", {2, 5, 4, 4}).to(type)};
      const at::Tensor learning = block.forward(maps, emb, nullptr);
      const at::NoGradGuard no_grad;
      const at::Tensor drawing = block.forward(maps, emb, nullptr);
      EXPECT_EQ(drawing.scalar_type(), type);
      EXPECT_LT(difference(drawing, learning.to(at::kDouble)), bound);
    }
}

TEST(MultiHeadAttention, GivesTheSameWhereNothingIsLearned) {
  for (const auto& [type, bound] : {Precision{at::kDouble, 1e-13}, {at::kFloat, 1e-6}, {at::kBFloat16, 2e-2}})
    for (const std::int64_t tokens : {1, 16, 49}) {
      SCOPED_TRACE(fmt::format("{}, {} tokens", c10::toString(type), tokens));
      MultiHeadAttention attention(12, 3);
      initialise(attention, "xavier", 1);
      attention.to(type == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor x = (draw("tokens", {2, tokens, 12}) * 3).to(type);
      const at::Tensor learning = attention.forward(x);
      const at::NoGradGuard no_grad;
      EXPECT_LT(difference(attention.forward(x), learning.to(at::kDouble)), bound);
    }
}

}  // namespace
}  // namespace ganymede
