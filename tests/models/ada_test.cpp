#include "models/gan/regularisers/ada.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "models/layers/image_warp.h"
#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using std::numbers::pi;
using test::world;

const AdaOptions everything{
    .blitting = true, .geometry = true, .color = true, .filter = true, .noise = true, .cutout = true};

ImageDraws ada_source(std::int64_t first, std::int64_t count) {
  return {{.seed = 4, .phase = "discriminator", .step = 1}, first, count, at::kDouble};
}

at::Tensor pictures(std::int64_t count, std::int64_t side) {
  const RandomStream random({.seed = 9, .phase = "ada"});
  return random.uniform(0, count, 3 * side * side, at::kDouble).view({count, 3, side, side}) * 2 - 1;
}

at::Tensor changed(const AdaOptions& options, double p, const at::Tensor& x, const ImageDraws& draws) {
  return ada_augment(options, at::scalar_tensor(p, at::kDouble), x,
                     ada_draws(options, draws, "real", x.sizes().slice(1)));
}

double furthest_apart(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

at::Tensor inverse_of(std::vector<double> rows) {
  return at::tensor(rows, at::kDouble).view({1, 3, 3});
}

TEST(ImageWarp, LeavesAnImageThatIsNotMoved) {
  const at::Tensor x = pictures(2, 12);
  EXPECT_LT(furthest_apart(warped(x, at::eye(3, at::kDouble).expand({2, 3, 3})), x), 1e-9);
}

// Away from the rim, where the mirror image comes in.
TEST(ImageWarp, MovesByWholePixelsExactly) {
  const at::Tensor x = pictures(1, 24);
  const at::Tensor y = warped(x, inverse_of({1, 0, -2, 0, 1, 3, 0, 0, 1}));
  EXPECT_LT(furthest_apart(y.narrow(3, 9, 6).narrow(2, 6, 6), x.narrow(3, 7, 6).narrow(2, 9, 6)), 1e-9);
}

// A smooth image is known between its pixels.
TEST(ImageWarp, TurnsAndScalesAboutTheCentre) {
  const std::int64_t side = 32;
  const at::Tensor line = at::arange(side, at::kDouble) - 15.5;
  const auto wave = [](const at::Tensor& x, const at::Tensor& y) {
    return (0.2 * x).sin() + (0.1 * y).cos();
  };
  const at::Tensor columns = line.view({1, -1}).expand({side, side}), rows = columns.t();
  const at::Tensor x = wave(columns, rows).view({1, 1, side, side});
  const double c = 0.8 * 0.9, s = 0.6 * 0.9;
  const at::Tensor y = warped(x, inverse_of({c, -s, 0, s, c, 0, 0, 0, 1}));
  const at::Tensor expected = wave(c * columns - s * rows, s * columns + c * rows).view_as(y);
  EXPECT_LT(furthest_apart(y.narrow(2, 8, 16).narrow(3, 8, 16), expected.narrow(2, 8, 16).narrow(3, 8, 16)),
            0.02);
}

TEST(ImageWarp, ShowsTheMirrorImageBeyondTheRim) {
  at::Tensor x = at::zeros({1, 1, 16, 16}, at::kDouble);
  x.select(3, 0).fill_(1);
  const at::Tensor y = warped(x, inverse_of({1, 0, -8, 0, 1, 0, 0, 0, 1}));  // 8 to the right
  EXPECT_GT(y[0][0][8][8].item<double>(), 0.9);
  EXPECT_LT(y[0][0][8][3].abs().item<double>(), 0.1);
  const at::Tensor far = warped(x, inverse_of({1, 0, -30, 0, 1, 0, 0, 0, 1}));
  EXPECT_GT(far[0][0][8][0].item<double>(), 0.8) << "as far as from the rim to the other and back";
}

TEST(ImageWarp, HasGradientsOfAnyOrder) {
  const at::Tensor x = pictures(1, 8).set_requires_grad(true);
  const at::Tensor inverse = inverse_of({0.9, -0.3, 1.3, 0.2, 1.1, -2.4, 0, 0, 1});
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    return warped(at[0], inverse).sin().sum();
  };
  EXPECT_LT(test::gradient_error(part, {x}), 1e-8);
  EXPECT_LT(test::second_gradient_error(part, {x}), 1e-7);
}

TEST(Ada, ChangesEachImageByItsPositionAlone) {
  const at::Tensor x = pictures(6, 16);
  const at::Tensor whole = changed(everything, 0.7, x, ada_source(0, 6));
  const at::Tensor part = changed(everything, 0.7, x.narrow(0, 2, 3), ada_source(2, 3));
  EXPECT_LT(furthest_apart(part, whole.narrow(0, 2, 3)), 1e-12);
}

TEST(Ada, LeavesImagesWhereTheProbabilityIsZero) {
  const at::Tensor x = pictures(4, 16);
  EXPECT_LT(furthest_apart(changed(everything, 0, x, ada_source(0, 4)), x), 1e-9);
  EXPECT_TRUE(at::equal(changed({}, 1, x, ada_source(0, 4)), x));
}

// How often, over 4000 images: five standard deviations are 0.04.
TEST(Ada, AppliesEachOperationWithItsProbability) {
  const at::Tensor p = at::scalar_tensor(0.3, at::kDouble);
  const AdaDraws draws = ada_draws({}, ada_source(0, 4000), "real", {3, 32, 32});
  const at::Tensor identity = at::eye(3, at::kDouble).unsqueeze(0);
  const auto share = [](const at::Tensor& is) { return is.to(at::kDouble).mean().item<double>(); };
  const auto moved = [&](const AdaOptions& options) {
    const at::Tensor g = ada_geometry(options, p, draws, 32);
    return share((g - identity).abs().amax({1, 2}).gt(1e-12));
  };
  // Mirrored, by half of those chosen; turned, by three quarters; moved but where both moves round to none.
  EXPECT_NEAR(moved({.blitting = true}), 1 - (1 - 0.15) * (1 - 0.225) * (1 - 0.3 * (1 - 1.0 / 64)), 0.04);
  EXPECT_NEAR(moved({.geometry = true}), 1 - std::pow(0.7, 4), 0.04);
  const at::Tensor c = ada_colors(p, draws);
  const at::Tensor linear = c.narrow(2, 0, 3) - identity;
  EXPECT_NEAR(share(linear.abs().amax({1, 2}).gt(1e-12)), 1 - 0.85 * std::pow(0.7, 3), 0.04);
  EXPECT_NEAR(share(c.select(2, 3).abs().amax(1).gt(1e-12)), 0.3, 0.04);
  EXPECT_NEAR(share((ada_gains(p, draws) - 1).abs().amax(1).gt(1e-12)), 1 - std::pow(0.7, 4), 0.04);
  EXPECT_NEAR(share(ada_deviations(p, draws).gt(0)), 0.3, 0.04);
  EXPECT_NEAR(share(ada_holes(p, draws, 32, 32).flatten(1).any(1)), 0.3, 0.04);
}

at::Tensor certain() {
  return at::scalar_tensor(1.0, at::kDouble);
}

// A flat image lies in the lowest band alone, and a chequered one in the highest; along both axes.
TEST(Ada, AmplifiesBandsOfFrequencies) {
  const AdaOptions options{.filter = true};
  for (const std::int64_t side : {16, 64}) {
    const at::Tensor line = at::arange(side, at::kDouble);
    const at::Tensor checks = 1 - 2 * (line.view({-1, 1}) + line).remainder(2);
    const AdaDraws draws = ada_draws(options, ada_source(0, 5), "real", {3, side, side});
    const at::Tensor gains = ada_gains(certain(), draws).square();
    const at::Tensor x = checks.expand({5, 3, side, side});
    const auto band = [&](std::int64_t of) { return gains.select(1, of).view({-1, 1, 1, 1}); };
    EXPECT_LT(furthest_apart(ada_augment(options, certain(), x, draws), band(3) * x), 1e-9);
    EXPECT_LT(furthest_apart(ada_augment(options, certain(), at::ones_like(x), draws), band(0).expand_as(x)),
              1e-9);
    EXPECT_GT(furthest_apart(band(0), at::ones_like(band(0))), 0.1);
  }
}

// Waves that the mirror images at both ends go on with, by the filter bank's response: the wavelet lets
// 1/2 + 9/16 cos w - 1/16 cos 3 w of a wave's power through.
TEST(Ada, FiltersTellBandsApart) {
  const std::int64_t side = 65;
  const at::Tensor line = at::arange(side, at::kDouble);
  const auto lower = [](double w) { return 0.5 + 9.0 / 16 * std::cos(w) - 1.0 / 16 * std::cos(3 * w); };
  for (const std::int64_t cycles : {0, 3, 12, 24, 40, 55, 64}) {
    const double w = pi * static_cast<double>(cycles) / 64;
    const double passed[] = {lower(4 * w) * lower(2 * w) * lower(w),
                             (1 - lower(4 * w)) * lower(2 * w) * lower(w), (1 - lower(2 * w)) * lower(w),
                             1 - lower(w)};
    const at::Tensor wave = (line * w).cos();
    for (std::int64_t band = 0; band < 4; ++band) {
      at::Tensor gains = at::ones({1, 4}, at::kDouble);
      gains[0][band].fill_(3);
      EXPECT_LT(furthest_apart(at::matmul(ada_bands(gains, side)[0], wave), (1 + 2 * passed[band]) * wave),
                1e-12)
          << band << ", " << cycles;
    }
  }
}

TEST(Ada, KeepsThePowerThatNaturalImagesHave) {
  AdaDraws draws = ada_draws({}, ada_source(0, 50), "real", {3, 8, 8});
  draws.uniform.narrow(1, 21, 4).fill_(1);
  draws.uniform.select(1, 22).fill_(0);  // the second band alone
  const at::Tensor gains = ada_gains(at::scalar_tensor(0.5, at::kDouble), draws);
  const at::Tensor power = (gains.square() * at::tensor({10.0, 1.0, 1.0, 1.0}, at::kDouble)).sum(1) / 13;
  EXPECT_LT(furthest_apart(power, at::ones_like(power)), 1e-12);
  EXPECT_LT(furthest_apart(gains.select(1, 1) / gains.select(1, 0),
                           (draws.normal.select(1, 8) * std::numbers::ln2).exp()),
            1e-12);
}

// Each image has noise of a deviation of its own, half normal.
TEST(Ada, AddsNoise) {
  const AdaOptions options{.noise = true};
  const at::Tensor x = pictures(6, 64);
  const AdaDraws draws = ada_draws(options, ada_source(0, 6), "real", {3, 64, 64});
  const at::Tensor added = ada_augment(options, certain(), x, draws) - x;
  const at::Tensor deviations = added.flatten(1).square().mean(1).sqrt();
  EXPECT_LT(furthest_apart(deviations, ada_deviations(certain(), draws)), 0.01);
  EXPECT_GT(deviations.min().item<double>(), 0);
  const AdaDraws many = ada_draws({}, ada_source(0, 4000), "real", {3, 8, 8});
  EXPECT_NEAR(ada_deviations(certain(), many).square().mean().sqrt().item<double>(), 0.1, 0.006);
}

// A rectangle about a place that is anywhere, of half the sides but for what lies beyond the rim.
TEST(Ada, CutsOut) {
  const AdaOptions options{.cutout = true};
  const at::Tensor x = pictures(200, 16) + 2;
  const AdaDraws draws = ada_draws(options, ada_source(0, 200), "real", {3, 16, 16});
  const at::Tensor y = ada_augment(options, certain(), x, draws), cut = y.eq(0);
  EXPECT_TRUE(at::equal(y, at::where(cut, at::zeros_like(x), x)));
  for (std::int64_t i = 0; i < 200; ++i) {
    const at::Tensor hole = cut[i][0];
    const auto extent = [&](std::int64_t over, std::int64_t column) {
      const double middle = draws.uniform[i][column].item<double>();
      const at::Tensor along = hole.any(over), places = along.nonzero();
      const std::int64_t first = places.min().item<std::int64_t>(), last = places.max().item<std::int64_t>();
      EXPECT_EQ(first, std::max(0.0, std::round((middle - 0.25) * 16))) << i;
      EXPECT_EQ(last, std::min(16.0, std::round((middle + 0.25) * 16)) - 1) << i;
      return last - first + 1;
    };
    const std::int64_t width = extent(0, 27), height = extent(1, 28);
    EXPECT_EQ(hole.sum().item<std::int64_t>(), width * height) << i;
  }
}

TEST(Ada, HasGradientsOfAnyOrder) {
  const AdaOptions options{.filter = true, .noise = true, .cutout = true};
  const at::Tensor x = pictures(2, 8).set_requires_grad(true);
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    return changed(options, 1, at[0], ada_source(0, 2)).sin().sum();
  };
  EXPECT_LT(test::gradient_error(part, {x}), 1e-8);
  EXPECT_LT(test::second_gradient_error(part, {x}), 1e-7);
}

// Hue, saturation leave greys; contrast and brightness scale and move them, the flip of luma negates.
TEST(Ada, ColoursKeepGreysGrey) {
  const AdaDraws draws = ada_draws({}, ada_source(0, 500), "real", {3, 8, 8});
  const at::Tensor c = ada_colors(at::scalar_tensor(1.0, at::kDouble), draws);
  const at::Tensor white = c.sum(2);
  EXPECT_LT(furthest_apart(white, white.select(1, 0).unsqueeze(1).expand({-1, 3})), 1e-12);
}

TEST(Ada, ProbabilityFollowsTheSignsOverSeveralUpdates) {
  AdaProbability probability({.color = true, .p = 0.5, .target = 0.6, .every = 2, .kimg = 1}, at::kCPU);
  const auto after = [&](std::int64_t update, double signs) {
    probability.advance(update, at::scalar_tensor(signs, at::kDouble), 10);
    return probability.p().item<double>();
  };
  EXPECT_EQ(after(0, 10), 0.5) << "waits for the second update";
  EXPECT_NEAR(after(1, 4), 0.52, 1e-12) << "0.7 of 20 images";
  EXPECT_NEAR(after(2, 10), 0.52, 1e-12);
  EXPECT_NEAR(after(3, 0), 0.5, 1e-12) << "0.5";
  for (std::int64_t update = 4; update < 100; ++update) after(update, -10);
  EXPECT_EQ(probability.p().item<double>(), 0);
  for (std::int64_t update = 100; update < 300; ++update) after(update, 10);
  EXPECT_EQ(probability.p().item<double>(), 1);
}

}  // namespace
}  // namespace ganymede
