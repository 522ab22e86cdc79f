// Solvers on a distribution whose exact denoiser is known: a mixture of two normal ones in the plane.

#include "models/diffusion/solver.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/philox.h"
#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/processes/ddpm.h"
#include "models/diffusion/processes/edm.h"
#include "models/diffusion/processes/flow.h"
#include "tests/models/known_mixture.h"

namespace ganymede {
namespace {

using test::mixture::deviation;
using test::mixture::means;
using test::mixture::weights;

DrawOptions drawing(std::int64_t steps, const std::string& spacing = "trailing", std::int64_t offset = 0,
                    const std::string& end = "image") {
  DrawOptions options;
  options.steps = steps;
  options.spacing = spacing;
  options.offset = offset;
  options.end = end;
  return options;
}

at::Tensor draw(const DiffusionProcess& process, const std::string& name, std::int64_t steps,
                const SolverOptions& options = {}, std::int64_t count = 2000) {
  const auto path = path_of(process, drawing(steps));
  const auto solver = make_solver(name, options);
  const auto noise = [&](std::uint64_t step) {
    return RandomStream({.seed = 5, .step = step}).normal(0, count, 2, at::kDouble).view({count, 2, 1, 1});
  };
  at::Tensor x = noise(0) * (path[0].alpha < 1 ? 1 : path[0].sigma);
  for (std::size_t i = 0; i + 1 < path.size(); ++i)
    x = solver->step(
        x, path[i], path[i + 1],
        [](const at::Tensor& at_x, const PathPoint& point) {
          return Denoised{test::mixture::denoised(at_x, point.alpha, point.sigma), {}};
        },
        [&] { return noise(i + 1); });
  return x.view({count, 2});
}

SolverOptions with(double eta, const std::string& variance = "small") {
  SolverOptions options;
  options.eta = eta;
  options.variance = variance;
  return options;
}

void expect_mixture(const at::Tensor& x, double tolerance) {
  const at::Tensor second = x.select(1, 0) > -0.05;
  EXPECT_NEAR(second.to(at::kDouble).mean().item<double>(), weights[1], tolerance);
  for (int mode = 0; mode < 2; ++mode) {
    const at::Tensor own = x.index({mode == 1 ? second : second.logical_not()});
    for (int axis = 0; axis < 2; ++axis) {
      EXPECT_NEAR(own.select(1, axis).mean().item<double>(), means[mode][axis], tolerance);
      EXPECT_NEAR(own.select(1, axis).std().item<double>(), deviation, tolerance);
    }
  }
}

// 2,000 draws: the share of a mode is known to 0.01.
constexpr double close = 0.03;

TEST(Solver, DrawsTheMixtureFromDdpm) {
  DdpmOptions options;
  options.schedule.kind = "cosine";
  const Ddpm process(options);
  expect_mixture(draw(process, "ddpm", 150), close);
  expect_mixture(draw(process, "ddpm", 300, with(0, "large")), close);
  expect_mixture(draw(process, "ddim", 100), close);
  expect_mixture(draw(process, "ddim", 100, with(0.5)), close);
  expect_mixture(draw(process, "dpm++2m", 40), close);
  expect_mixture(draw(process, "heun", 60), close);
}

TEST(Solver, DrawsTheMixtureFromEdm) {
  const Edm process;
  expect_mixture(draw(process, "heun", 20), close);
  expect_mixture(draw(process, "euler", 100), close);
  expect_mixture(draw(process, "dpm++2m", 25), close);
}

TEST(Solver, DrawsTheMixtureAlongStraightLines) {
  const Flow process;
  expect_mixture(draw(process, "euler", 100), close);
  expect_mixture(draw(process, "heun", 40), close);
  expect_mixture(draw(process, "dpm++2m", 60), close);
}

constexpr std::int64_t few = 200;

/// The mean distance of an image from where very many steps end.
double error(const DiffusionProcess& process, const std::string& name, std::int64_t steps) {
  return (draw(process, name, steps, {}, few) - draw(process, "heun", 1000, {}, few))
      .norm(2, 1)
      .mean()
      .item<double>();
}

// Half the step: half the error at the first order, a quarter at the second.
TEST(Solver, HasItsOrder) {
  const Edm process;
  const double euler = error(process, "euler", 40) / error(process, "euler", 80);
  const double heun = error(process, "heun", 40) / error(process, "heun", 80);
  const double dpm = error(process, "dpm++2m", 40) / error(process, "dpm++2m", 80);
  EXPECT_GT(euler, 1.6);
  EXPECT_LT(euler, 2.4);
  EXPECT_GT(heun, 3.0);
  EXPECT_GT(dpm, 3.0);
}

// Without noise, ddim is Euler's method, whatever the process.
TEST(Solver, DdimWithoutNoiseIsEuler) {
  EXPECT_TRUE(at::equal(draw(Ddpm(), "ddim", 20), draw(Ddpm(), "euler", 20)));
  EXPECT_FALSE(at::equal(draw(Ddpm(), "ddim", 20, with(1)), draw(Ddpm(), "euler", 20)));
}

// With all of its noise, ddim draws from DDPM's backward step.
TEST(Solver, DdimWithAllNoiseIsDdpm) {
  const double distance =
      (draw(Ddpm(), "ddim", 20, with(1)) - draw(Ddpm(), "ddpm", 20)).abs().max().item<double>();
  EXPECT_LE(distance, 1e-9);
}

std::vector<double> times_of(const std::vector<PathPoint>& path) {
  std::vector<double> times;
  for (const PathPoint& point : path) times.push_back(point.time);
  return times;
}

TEST(Path, LeadingTimesMayBeMovedAndEndAtTheFirst) {
  const Ddpm process;
  const std::vector<double> moved{751, 501, 251, 1, 0};
  const auto to_image = path_of(process, drawing(4, "leading", 1));
  EXPECT_EQ(times_of(to_image), moved);
  EXPECT_EQ(to_image.back().sigma, 0);
  const auto to_first = path_of(process, drawing(4, "leading", 1, "first"));
  EXPECT_EQ(times_of(to_first), moved);
  EXPECT_NEAR(to_first.back().sigma, std::sqrt(1e-4), 1e-12);
  EXPECT_EQ(times_of(path_of(process, drawing(4, "leading", 0, "first"))),
            (std::vector<double>{750, 500, 250, 0, 0}));
  const at::Tensor x = at::ones({1, 2, 1, 1}, at::kDouble);
  for (const std::string& name : solver_names()) {
    const Denoised denoised{0 * x, 2 * x};  // a variance beyond what it may be
    const at::Tensor same = make_solver(name, {})->step(
        x, to_first.back(), to_first.back(), [&](const at::Tensor&, const PathPoint&) { return denoised; },
        [&] { return x; });
    EXPECT_TRUE(at::allclose(same, x)) << name;
  }
  EXPECT_THROW(path_of(process, drawing(4, "leading", 250)), Error);
  EXPECT_THROW(path_of(process, drawing(4, "trailing", 1)), Error);
  EXPECT_THROW(path_of(Edm(), drawing(4, "trailing", 0, "first")), Error);
}

}  // namespace
}  // namespace ganymede
