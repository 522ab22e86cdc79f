#include "models/diffusion/augmentation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace ganymede {
namespace {

constexpr RandomKey key{.seed = 4, .phase = "denoiser", .step = 2};

at::Tensor noise(std::int64_t count, std::int64_t side) {
  return RandomStream({.seed = 9, .phase = "augmentation"})
             .uniform(0, count, 3 * side * side, at::kDouble)
             .view({count, 3, side, side}) *
             2 -
         1;
}

double furthest_apart(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// A picture [1, 1, 64, 64] that is smooth, and small at the rim: a function of places from the centre, x to the right.
template <class Function>
at::Tensor picture_of(const Function& value) {
  const at::Tensor line = at::arange(64, at::kDouble) - 31.5;
  return value(line.view({1, 1, 1, 64}).expand({1, 1, 64, 64}), line.view({1, 1, 64, 1}).expand({1, 1, 64, 64}));
}

at::Tensor bump(const at::Tensor& x, const at::Tensor& y) {
  return (-(x - 4).square() / 60 - (y - 1).square() / 25).exp();
}

at::Tensor changed_by(std::vector<double> figures) {
  return augmented_by(picture_of(bump), at::tensor(figures, at::kDouble).view({1, 9}));
}

TEST(Augmentation, FiguresSayWhatIsDone) {
  const double r = std::exp2(0.2), c = std::cos(0.7), s = std::sin(0.7);
  const auto expect = [](std::vector<double> figures, const auto& place) {
    const at::Tensor expected = picture_of([&](const at::Tensor& x, const at::Tensor& y) {
      const auto [at_x, at_y] = place(x, y);
      return bump(at_x, at_y);
    });
    EXPECT_LT(furthest_apart(changed_by(figures), expected), 0.03) << at::tensor(figures);
  };
  using Place = std::pair<at::Tensor, at::Tensor>;
  using T = const at::Tensor&;
  expect({0, 0, 0, 0, 0, 0, 0, 0, 0}, [](T x, T y) { return Place(x, y); });
  expect({1, 0, 0, 0, 0, 0, 0, 0, 0}, [](T x, T y) { return Place(-x, y); });
  expect({0, 1, 0, 0, 0, 0, 0, 0, 0}, [](T x, T y) { return Place(x, -y); });
  expect({0, 0, 1, 0, 0, 0, 0, 0, 0}, [&](T x, T y) { return Place(x / r, y / r); });
  expect({0, 0, 0, c - 1, s, 0, 0, 0, 0}, [&](T x, T y) { return Place(c * x + s * y, c * y - s * x); });
  expect({0, 0, 0, 0, 0, 1, 0, 0, 0}, [&](T x, T y) { return Place(x / r, y * r); });
  expect({0, 0, 0, 0, 0, 0, 1, 0, 0}, [&](T x, T y) { return Place(x * r, y / r); });
  expect({0, 0, 0, 0, 0, 0, 0, 0.5, -1}, [](T x, T y) { return Place(x - 4, y + 8); });
  // In this order: mirrored, made larger, moved.
  expect({1, 0, 1, 0, 0, 0, 0, 0.5, 0}, [&](T x, T y) { return Place(-(x - 4) / r, y / r); });
}

TEST(Augmentation, MirrorsHalfAndLeavesTheRestWhereNothingIsDrawn) {
  const at::Tensor images = noise(200, 8);
  const Augmented some = augmented(images, 0, key, 0);
  const at::Tensor mirrored = some.figures.select(1, 0).to(at::kBool);
  EXPECT_NEAR(some.figures.select(1, 0).mean().item<double>(), 0.5, 0.1);
  EXPECT_EQ(some.figures.narrow(1, 1, 8).abs().max().item<double>(), 0);
  const at::Tensor expected = at::where(mirrored.view({-1, 1, 1, 1}), images.flip({3}), images);
  EXPECT_LT(furthest_apart(some.images, expected), 1e-9);
}

TEST(Augmentation, DrawsAsThePaperSays) {
  const at::Tensor figures = augmented(at::zeros({4000, 1, 8, 8}, at::kDouble), 0.3, key, 0).figures;
  EXPECT_EQ(figures.sizes(), (at::IntArrayRef{4000, augmentation_figures}));
  const auto share = [&](std::int64_t column) {
    return figures.select(1, column).ne(0).to(at::kDouble).mean().item<double>();
  };
  const auto deviation = [&](const at::Tensor& values) { return values.square().mean().sqrt().item<double>(); };
  EXPECT_NEAR(share(1), 0.15, 0.03);
  for (const std::int64_t column : {2, 3, 4, 5, 6, 7, 8}) EXPECT_NEAR(share(column), 0.3, 0.03) << column;
  for (const std::int64_t column : {2, 7, 8}) {
    const at::Tensor values = figures.select(1, column);
    EXPECT_NEAR(deviation(values.masked_select(values.ne(0))), 1, 0.1) << column;
  }
  // A turn is of any angle, and a stretch along any direction.
  const at::Tensor turned = figures.select(1, 4).ne(0), cosine = figures.select(1, 3) + 1, sine = figures.select(1, 4);
  EXPECT_LT(furthest_apart(cosine.square() + sine.square(), at::ones_like(sine)), 1e-12);
  EXPECT_NEAR(cosine.masked_select(turned).mean().item<double>(), 0, 0.1);
  const at::Tensor along = figures.select(1, 5), down = figures.select(1, 6), stretched = along.ne(0);
  EXPECT_NEAR(deviation(at::hypot(along, down).masked_select(stretched)), 1, 0.1);
  EXPECT_NEAR(along.masked_select(stretched).mean().item<double>(), 0, 0.1);
}

TEST(Augmentation, DependsOnTheImagesPositionAlone) {
  const at::Tensor images = noise(6, 8);
  const Augmented all = augmented(images, 0.7, key, 10), part = augmented(images.narrow(0, 2, 3), 0.7, key, 12);
  EXPECT_TRUE(at::equal(all.images.narrow(0, 2, 3), part.images));
  EXPECT_TRUE(at::equal(all.figures.narrow(0, 2, 3), part.figures));
  EXPECT_FALSE(at::equal(all.figures, augmented(images, 0.7, {.seed = 5, .phase = "denoiser", .step = 2}, 10).figures));
}

}  // namespace
}  // namespace ganymede
