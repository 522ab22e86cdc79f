// Diffusion models that learn a mixture in the plane, whose scores are known: what is learned is the score, and samples
// have the mixture's moments.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "models/diffusion/denoising.h"
#include "models/diffusion/processes/ddpm.h"
#include "models/diffusion/processes/edm.h"
#include "models/diffusion/processes/flow.h"
#include "models/layers/initialise.h"
#include "models/layers/sinusoids.h"
#include "models/layers/weighted.h"
#include "tests/models/known_mixture.h"

namespace ganymede {
namespace {

namespace mixture = test::mixture;

constexpr std::int64_t batch = 512, steps = 10000, width = 64, waves = 16, count = 4000;

/// The point and sinusoids of the time through three hidden layers.
class SmallMlp final : public Denoiser {
 public:
  SmallMlp() {
    const std::int64_t widths[] = {2 + waves, width, width, width, 2};
    for (std::size_t i = 0; i < layers_.size(); ++i)
      layers_[i] = register_module("layer" + std::to_string(i),
                                   std::make_shared<Linear>(widths[i], widths[i + 1], WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& /*labels*/,
                     const DenoiserContext& /*context*/) override {
    at::Tensor h =
        at::cat({x.reshape({-1, 2}), sinusoids(condition, {waves, false, 1}).to(x.scalar_type())}, 1);
    for (std::size_t i = 0; i + 1 < layers_.size(); ++i) h = at::silu(layers_[i]->forward(h));
    return layers_.back()->forward(h).view({-1, 2, 1, 1});
  }
  void initialise(std::uint64_t seed) override { ganymede::initialise(*this, "xavier", seed); }

 private:
  std::array<std::shared_ptr<Linear>, 4> layers_;
};

class SmallMlpNetwork final : public DenoiserNetwork {
 public:
  void describe(OptionSchema& /*schema*/) override {}
  void check() const override {}
  std::shared_ptr<Denoiser> build(const DenoiserShape& /*shape*/) const override {
    last = std::make_shared<SmallMlp>();
    return last;
  }
  ImageSpec images() const override { return {2, 1, 1, 1}; }

  mutable std::shared_ptr<Denoiser> last;  // the one built last: a sampler's
};

/// |s - exact s| / |exact s| over points of the mixture at this time, with the score s = (alpha D - x) / sigma^2.
double score_error(Denoiser& network, const DiffusionProcess& process, double time) {
  const at::NoGradGuard no_grad;
  const Coefficients c = process.coefficients(at::full({1}, time, at::kDouble));
  const double alpha = c.alpha.item<double>(), sigma = c.sigma.item<double>();
  const at::Tensor noise = RandomStream({.seed = 3}).normal(0, count, 2, at::kDouble).view({-1, 2, 1, 1});
  const at::Tensor x = alpha * mixture::points(1'000'000, count) + sigma * noise;
  const at::Tensor f = network.forward((c.scale * x).to(at::kFloat), c.condition.expand({count}), {}, {});
  const at::Tensor learned = c.keep * x + c.gain * f.to(at::kDouble);
  const at::Tensor exact = mixture::denoised(x, alpha, sigma);
  return (alpha * (learned - exact).norm() / (alpha * exact - x).norm()).item<double>();
}

void expect_moments(const at::Tensor& samples) {
  const at::Tensor x = samples.reshape({-1, 2}).to(at::kDouble),
                   exact = mixture::points(0, 200'000).reshape({-1, 2});
  const double mean = (x.mean(0) - exact.mean(0)).abs().max().item<double>();
  const double covariance =
      ((at::cov(x.t()) - at::cov(exact.t())).norm() / at::cov(exact.t()).norm()).item<double>();
  const at::Tensor second = x.select(1, 0) > -0.05;
  const double share = second.to(at::kDouble).mean().item<double>();
  fmt::print("mean off by {:.3f}, covariance by {:.1f}%, share of a mode {:.3f}", mean, 100 * covariance,
             share);
  EXPECT_LT(mean, 0.025);
  EXPECT_LT(covariance, 0.08);
  EXPECT_NEAR(share, mixture::weights[1], 0.03);
  for (int mode = 0; mode < 2; ++mode) {
    const double spread = x.index({mode == 1 ? second : second.logical_not()}).std(0).mean().item<double>();
    fmt::print(", deviation {:.3f}", spread);
    EXPECT_NEAR(spread, mixture::deviation, 0.02);
  }
  fmt::print("\n");
}

/// Trains, and holds scores and samples by this solver to what is known: a score's relative error at a time to its bound,
/// about twice what it is.
void learn(const DiffusionProcess& process, const std::string& solver, std::int64_t sampling_steps,
           const std::map<double, double>& bounds) {
  DenoisingOptions options;
  options.denoiser.lr = 2e-3;
  options.denoiser.decay = "cosine";
  options.denoiser.decay_until = steps;
  options.denoiser.ema = 0.998;
  options.draw.solver = solver;
  options.draw.steps = sampling_steps;
  options.draw.clip = false;
  const SmallMlpNetwork network;
  const auto alone = make_single_communicator();
  DenoisingMethod method(network, process, options,
                         {.gradients = *alone, .batch_norm = *alone, .batch = batch, .seed = 1});
  method.initialise();
  std::int64_t position = 0;
  for (std::int64_t step = 1; step <= steps; ++step)
    method.step(step, [&] {
      Batch next{mixture::points(position, batch).to(at::kFloat),
                 at::zeros({batch}, at::kLong),
                 position,
                 {0, batch}};
      position += batch;
      return next;
    });
  const auto sampler = method.sampler({.seed = 4});
  fmt::print("score off by");
  for (const auto& [time, bound] : bounds) {
    const double error = score_error(*network.last, process, time);
    fmt::print(" {:.1f}% at {}", 100 * error, time);
    EXPECT_LT(error, bound);
  }
  fmt::print("; ");
  expect_moments(sampler->images(0, at::zeros({count}, at::kLong)));
}

TEST(KnownScore, IsLearnedByDdpm) {
  DdpmOptions options;
  options.schedule.kind = "cosine";
  learn(Ddpm(options), "ddpm", 100, {{50, 0.1}, {200, 0.05}, {500, 0.035}, {900, 0.03}});
}

TEST(KnownScore, IsLearnedByEdm) {
  learn(Edm(), "heun", 18, {{0.05, 0.09}, {0.2, 0.09}, {1, 0.025}, {5, 0.01}});
}

TEST(KnownScore, IsLearnedByFlowMatching) {
  learn(Flow(), "heun", 30, {{0.1, 0.1}, {0.3, 0.04}, {0.6, 0.012}, {0.9, 0.008}});
}

}  // namespace
}  // namespace ganymede
