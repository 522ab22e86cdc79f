#include "models/features/random_network.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/philox.h"

namespace ganymede {
namespace {

constexpr std::int64_t count = 400;

/// Smooth images of four kinds, [count, 3, 32, 32] in [0, 255]: waves whose direction is the kind's.
at::Tensor pictures(std::uint64_t seed, std::int64_t kinds = 4) {
  const at::Tensor draws = RandomStream({.seed = seed}).uniform(0, count, 5, at::kDouble);
  const at::Tensor axis = at::arange(32, at::kDouble) / 32;
  const auto column = [&](std::int64_t c) { return draws.select(1, c).view({count, 1, 1}); };
  const at::Tensor kind = (column(0) * static_cast<double>(kinds)).floor();
  const at::Tensor angle = kind * (M_PI / 4) + (column(1) - 0.5) * 0.3;
  const at::Tensor along = axis.view({1, 1, 32}) * angle.cos() + axis.view({1, 32, 1}) * angle.sin();
  const at::Tensor wave = (along * (12 + 6 * column(2)) + 2 * M_PI * column(3)).sin();
  const at::Tensor tint = at::tensor({1.0, 0.8, 0.6}, at::kDouble).view({1, 3, 1, 1});
  return 128 + (60 + 50 * column(4)).unsqueeze(1) * wave.unsqueeze(1) * tint;
}

at::Tensor noisy(const at::Tensor& x, double deviation) {
  return x +
         deviation * RandomStream({.seed = 9}).normal(0, count, x[0].numel(), at::kDouble).view(x.sizes());
}

at::Tensor blurred(const at::Tensor& x, std::int64_t width) {
  return at::avg_pool2d(x, {width, width}, {1, 1}, {width / 2, width / 2}, false, false);
}

at::Tensor features(const at::Tensor& x) {
  const auto network = make_random_network({});
  return network->extract(x.clamp(0, 255).to(at::kByte), {}).pool.to(at::kDouble);
}

/// The Fréchet distance, its trace of a root as the nuclear norm of the product of the centred features.
double distance(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = (a - a.mean(0)) / std::sqrt(count - 1), y = (b - b.mean(0)) / std::sqrt(count - 1);
  const at::Tensor cross = at::linalg_svdvals(at::matmul(x, y.t())).sum();
  return ((a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * cross)
      .item<double>();
}

TEST(RandomNetwork, OrdersNoiseBlurAndMissingKinds) {
  at::set_num_threads(1);
  const at::Tensor real = pictures(1), again = pictures(2);
  const at::Tensor reference = features(real);
  const double same = distance(reference, features(again));
  double before = same;
  for (const double deviation : {8.0, 16.0, 32.0, 64.0}) {
    const double now = distance(reference, features(noisy(again, deviation)));
    EXPECT_GT(now, before * 1.05) << "noise of " << deviation;
    before = now;
  }
  before = same;
  for (const std::int64_t width : {3, 5, 7}) {
    const double now = distance(reference, features(blurred(again, width)));
    EXPECT_GT(now, before * 1.05) << "blur of " << width;
    before = now;
  }
  before = same;
  for (const std::int64_t kinds : {3, 2, 1}) {
    const double now = distance(reference, features(pictures(2, kinds)));
    EXPECT_GT(now, before * 1.05) << kinds << " kinds";
    before = now;
  }
}

TEST(RandomNetwork, IsTheSameEverywhere) {
  const auto network = make_random_network({});
  const ExtractorDescription& description = network->description();
  EXPECT_EQ(description.digest, "147531c41fbe9974");
  EXPECT_EQ(description.name, "random");
  EXPECT_EQ(description.dimensions, 512);
  EXPECT_NE(description.caveat, "");
}

TEST(RandomNetwork, SeesEachImageAlone) {
  const auto network = make_random_network({});
  const at::Tensor images = pictures(3).clamp(0, 255).to(at::kByte).narrow(0, 0, 20);
  const at::Tensor together = network->extract(images, {}).pool;
  EXPECT_EQ(together.sizes(), (std::vector<std::int64_t>{20, 512}));
  for (const std::int64_t i : {0, 7, 8, 19})
    EXPECT_TRUE(at::allclose(network->extract(images.narrow(0, i, 1), {}).pool[0], together[i], 1e-5, 1e-6));
}

TEST(RandomNetwork, HasNoClasses) {
  const at::Tensor images = at::zeros({1, 3, 8, 8}, at::kByte);
  EXPECT_THROW(make_random_network({})->extract(images, {.logits = true}), Error);
  EXPECT_THROW(make_random_network({})->extract(images, {.spatial = true}), Error);
  EXPECT_THROW(make_random_network({})->extract(at::zeros({1, 4, 8, 8}, at::kByte), {}), Error);
}

}  // namespace
}  // namespace ganymede
