#include "models/layers/initialise.h"

#include <gtest/gtest.h>

#include "models/layers/weighted.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

class Net final : public torch::nn::Module {
 public:
  Net() {
    const WeightOptions spectral{.bias = true, .spectral_norm = true};
    tall = register_module("tall", std::make_shared<Linear>(7, 30, spectral));
    twin = register_module("twin", std::make_shared<Linear>(7, 30, spectral));
    wide = register_module("wide", std::make_shared<Conv2d>(5, 8, 3, spectral));
    table = register_module("table", std::make_shared<Embedding>(10, 6, spectral));
    gamma = register_parameter("gamma", at::full({1}, 3.0));
    to(at::kDouble);
  }
  std::shared_ptr<Linear> tall, twin;
  std::shared_ptr<Conv2d> wide;
  std::shared_ptr<Embedding> table;
  at::Tensor gamma;
};

void expect_identity(const at::Tensor& product) {
  EXPECT_LT((product - at::eye(product.size(0), at::kDouble)).abs().max().item<double>(), 1e-13);
}

TEST(Initialise, OrthogonalRowsOrColumns) {
  Net net;
  initialise(net, "orthogonal", 1);
  const at::Tensor wide = net.wide->weight().flatten(1), tall = net.tall->weight(),
                   table = net.table->weight();
  expect_identity(at::mm(wide, wide.t()));
  expect_identity(at::mm(tall.t(), tall));
  expect_identity(at::mm(table.t(), table));
}

TEST(Initialise, NormalAndUniformHaveTheirSpread) {
  class Large final : public torch::nn::Module {
   public:
    Large() { conv = register_module("conv", std::make_shared<Conv2d>(40, 60, 3, WeightOptions{})); }
    std::shared_ptr<Conv2d> conv;
  } net;
  initialise(net, "n02", 1);
  EXPECT_NEAR(net.conv->weight().std().item<double>(), 0.02, 3e-4);
  EXPECT_NEAR(net.conv->weight().mean().item<double>(), 0, 5e-4);
  initialise(net, "xavier", 1);
  const double bound = std::sqrt(6.0 / (9 * (40 + 60)));
  EXPECT_LE(net.conv->weight().abs().max().item<double>(), bound);
  EXPECT_NEAR(net.conv->weight().std().item<double>(), bound / std::sqrt(3), bound / 50);
}

TEST(Initialise, FillsBiasesAndSpectralVectors) {
  Net net;
  initialise(net, "orthogonal", 1);
  for (const auto& item : net.named_buffers()) EXPECT_NEAR(item.value().norm().item<double>(), 1, 1e-14);
  EXPECT_EQ(net.tall->bias().abs().max().item<double>(), 0);
  EXPECT_EQ(net.wide->bias().abs().max().item<double>(), 0);
  EXPECT_EQ(net.gamma.item<double>(), 3);
}

TEST(Initialise, DependsOnSeedAndNameAlone) {
  Net one, same, other;
  initialise(one, "orthogonal", 1);
  initialise(same, "orthogonal", 1);
  initialise(other, "orthogonal", 2);
  EXPECT_TRUE(at::equal(one.wide->weight(), same.wide->weight()));
  EXPECT_FALSE(at::equal(one.wide->weight(), other.wide->weight()));
  EXPECT_FALSE(at::equal(one.tall->weight(), one.twin->weight()));
  for (const auto& item : one.named_parameters())
    EXPECT_TRUE(test::equal_on_all_ranks(item.value().detach()));
  for (const auto& item : one.named_buffers()) EXPECT_TRUE(test::equal_on_all_ranks(item.value()));
}

}  // namespace
}  // namespace ganymede
