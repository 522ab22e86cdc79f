#include "models/gan/gan_sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "models/gan/style_generator.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::world;

/// Shows its z: one image a row.
class Mirror final : public Generator {
 public:
  at::Tensor forward(const at::Tensor& z, const at::Tensor&, const ForwardContext&) override {
    return z.view({-1, 1, 1, z.size(1)}).clone();
  }
  std::int64_t latent_size() const override { return 50; }
};

GanSampler sampler_of(const SampleOptions& options, const std::function<void(std::string_view)>& alive = {}) {
  return {std::make_shared<Mirror>(), options, {4, 3, 10, at::kDouble, at::kCPU, alive}, world()};
}

at::Tensor z_of(double truncation) {
  return sampler_of({.truncation = truncation, .seed = 3})
      .images(0, at::zeros({4000}, at::kLong))
      .flatten()
      .to(at::kDouble);
}

/// The standard normal's distribution function.
double normal_cdf(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}

// Largest distance of 200,000 draws' distribution from the law: the Kolmogorov-Smirnov statistic, which
// passes 0.0044 once in a thousand seeds.
TEST(GanSampler, TruncatedNoiseHasTheTruncatedNormalsBoundsAndLaw) {
  for (const double bound : {0.02, 0.5, 1.0, 3.0}) {
    SCOPED_TRACE(bound);
    const at::Tensor z = std::get<0>(z_of(bound).sort());
    const double* values = z.data_ptr<double>();
    const std::int64_t count = z.numel();
    EXPECT_GE(values[0], -bound * (1 + 1e-6));
    EXPECT_LE(values[count - 1], bound * (1 + 1e-6));
    // Both ends are reached, but no heap lies there, as clamping would make one.
    EXPECT_LT(values[0], -0.9 * bound);
    EXPECT_GT(values[count - 1], 0.9 * bound);
    const double low = normal_cdf(-bound), mass = 1 - 2 * low;
    double furthest = 0;
    for (std::int64_t i = 0; i < count; ++i)
      furthest = std::max(furthest, std::abs((normal_cdf(values[i]) - low) / mass -
                                             (static_cast<double>(i) + 0.5) / static_cast<double>(count)));
    EXPECT_LT(furthest, 0.0044);
  }
}

GanSampler coded_sampler(std::uint64_t seed) {
  GanSampler::Setting setting{4, 3, 10, at::kDouble, at::kCPU};
  setting.codes = {.categories = {3, 2}, .continuous = 2};
  return {std::make_shared<Mirror>(), {.seed = seed}, setting, world()};
}

// Its z is 43 numbers of noise, one-hot vectors of 3 and of 2, and two numbers.
TEST(GanSampler, DrawsCodesByTheirLaws) {
  const at::Tensor z = coded_sampler(5).images(0, at::zeros({6000}, at::kLong)).flatten(1);
  EXPECT_NEAR(z.narrow(1, 0, 43).std().item<double>(), 1, 0.01);
  for (const auto& [place, width] : {std::pair{43, 3}, {46, 2}}) {
    const at::Tensor code = z.narrow(1, place, width);
    EXPECT_TRUE(at::equal(code.sum(1), at::ones({6000})));
    EXPECT_TRUE(at::equal(code.amax(1), at::ones({6000})));
    EXPECT_LT((code.mean(0) - 1.0 / width).abs().max().item<double>(), 0.03);
  }
  const at::Tensor numbers = z.narrow(1, 48, 2);
  EXPECT_GE(numbers.min().item<double>(), -1);
  EXPECT_LT(numbers.max().item<double>(), 1);
  EXPECT_NEAR(numbers.mean().item<double>(), 0, 0.03);
  EXPECT_NEAR(numbers.std().item<double>(), 1 / std::sqrt(3.0), 0.02);
  EXPECT_NEAR((numbers.select(1, 0) * numbers.select(1, 1)).mean().item<double>(), 0, 0.03);
  EXPECT_TRUE(at::equal(coded_sampler(5).images(7, at::zeros({5}, at::kLong)).flatten(1), z.narrow(0, 7, 5)));
}

TEST(GanSampler, ChoosesOneCodeAndKeepsAllElse) {
  GanSampler sampler = coded_sampler(5);
  EXPECT_EQ(sampler.codes(), (std::vector<std::int64_t>{3, 2, 0, 0}));
  EXPECT_TRUE(sampler_of({}).codes().empty());
  const at::Tensor labels = at::zeros({4}, at::kLong), free = sampler.images(2, labels).flatten(1);
  const auto with = [&](std::int64_t code, const at::Tensor& values) {
    return sampler.images_with_code(2, labels, code, values).flatten(1);
  };
  at::Tensor expected = free.clone();
  expected.narrow(1, 46, 2).copy_(at::tensor({0, 1, 1, 0, 0, 1, 1, 0}).view({4, 2}));
  EXPECT_TRUE(at::equal(with(1, at::tensor({1, 0, 1, 0})), expected));
  expected = free.clone();
  expected.select(1, 49).copy_(at::tensor({-1.5, -0.5, 0.5, 1.5}));
  EXPECT_TRUE(at::equal(with(3, at::tensor({-1.5, -0.5, 0.5, 1.5})), expected));
}

TEST(GanSampler, NoiseIsNormalWithoutTruncation) {
  const at::Tensor z = z_of(0);
  EXPECT_NEAR(z.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(z.std().item<double>(), 1, 0.01);
  EXPECT_GT(z.abs().max().item<double>(), 3.5);
}

TEST(GanSampler, LatentsAreThoseThatImagesAreDrawnFrom) {
  const at::Tensor labels = at::zeros({12}, at::kLong);
  for (const double truncation : {0.0, 0.5}) {
    GanSampler sampler = sampler_of({.truncation = truncation, .seed = 3});
    const at::Tensor z = sampler.latents(5, 12);
    EXPECT_EQ(z.scalar_type(), at::kDouble);
    EXPECT_TRUE(at::equal(sampler.images(5, labels).flatten(1), z.to(at::kFloat)));
    EXPECT_TRUE(at::equal(sampler.images_of(z, labels), sampler.images(5, labels)));
    EXPECT_EQ(sampler.style_layers(), 0);
  }
}

TEST(GanSampler, PathsAreShortPiecesThatDoNotDependOnTheBatch) {
  GanSampler sampler = sampler_of({.seed = 3});
  const auto [from, to] = sampler.path_ends(0, at::zeros({40}, at::kLong), 1e-3);
  const at::Tensor x = from.flatten(1).to(at::kDouble), y = to.flatten(1).to(at::kDouble);
  EXPECT_NEAR(x.std().item<double>(), 1, 0.05) << "as long as latents are";
  const auto length = [](const at::Tensor& rows) {
    return at::linalg_vector_norm(rows, 2, at::IntArrayRef{1});
  };
  // Nearly orthogonal ends: a thousandth of a quarter of the circle.
  const at::Tensor angle = length(x / length(x).unsqueeze(1) - y / length(y).unsqueeze(1));
  EXPECT_NEAR(angle.mean().item<double>(), 1.57e-3, 1e-4);
  const auto [later_from, later_to] = sampler.path_ends(8, at::zeros({4}, at::kLong), 1e-3);
  EXPECT_TRUE(at::equal(later_from, from.narrow(0, 8, 4)));
  EXPECT_TRUE(at::equal(later_to, to.narrow(0, 8, 4)));
}

/// Its style is z, its mean style 0.25, and the image shows the style.
class StyledMirror final : public StyleGenerator {
 public:
  at::Tensor styles(const at::Tensor& z, const at::Tensor&, const ForwardContext&) override {
    return z.unsqueeze(1);
  }
  at::Tensor synthesise(const at::Tensor& ws, const ForwardContext&) override {
    return ws.view({-1, 1, 1, ws.size(2)}).clone();
  }
  const at::Tensor& style_mean() const override { return mean_; }
  std::int64_t latent_size() const override { return 50; }

 private:
  at::Tensor mean_ = at::full({50}, 0.25, at::kDouble);
};

TEST(GanSampler, PsiDrawsStylesTowardsTheirMean) {
  const auto images = [](double psi) {
    GanSampler sampler(std::make_shared<StyledMirror>(), {.psi = psi, .seed = 3},
                       {4, 3, 10, at::kDouble, at::kCPU}, world());
    return sampler.images(0, at::zeros({8}, at::kLong));
  };
  const at::Tensor whole = images(1);
  for (const double psi : {0.0, 0.5, -1.0})
    EXPECT_LT((images(psi) - (0.25 + psi * (whole - 0.25))).abs().max().item<double>(), 1e-6) << psi;
}

TEST(GanSampler, IsAliveAtEachStandingPass) {
  double marks = 0;
  sampler_of({.batch_norm = "standing"}, [&](std::string_view activity) {
    EXPECT_EQ(activity, "standing statistics");
    ++marks;
  });
  EXPECT_EQ(test::sum_over_ranks(marks), 3);
}

}  // namespace
}  // namespace ganymede
