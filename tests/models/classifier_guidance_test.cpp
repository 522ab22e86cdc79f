// A diffusion model that a classifier guides, on a mixture in the plane where scores and posteriors are known.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/noisy_classifier.h"
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

const ImageSpec plane{2, 1, 1, 2}, plane_without_classes{2, 1, 1, 1};

/// alpha and sigma at a time that only the condition tells; one time for all.
PathPoint point_of(const DiffusionProcess& process, double time) {
  const Coefficients c = process.coefficients(at::full({1}, time, at::kDouble));
  return {c.alpha.item<double>(), c.sigma.item<double>(), time};
}

double time_of(const std::string& process, double condition) {
  if (process == "flow") return condition / FlowOptions{}.time_scale;
  return process == "edm" ? std::exp(4 * condition) : condition;
}

/// E[x_0 | x, mode].
at::Tensor denoised_of_mode(const at::Tensor& x, int mode, const PathPoint& p) {
  const double variance = mixture::deviation * mixture::deviation;
  const double pull = p.alpha * variance / (p.alpha * p.alpha * variance + p.sigma * p.sigma);
  return mixture::mean_of(mode) + pull * (x - p.alpha * mixture::mean_of(mode));
}

/// The network that has learned the mixture: of a label its mode, of label 2 or without classes all of it.
class ExactDenoiser final : public Denoiser {
 public:
  ExactDenoiser(std::string name, const DiffusionProcess& process, bool knows_labels)
      : name_(std::move(name)), process_(process), knows_labels_(knows_labels) {}
  at::Tensor forward(const at::Tensor& seen, const at::Tensor& condition, const at::Tensor& labels,
                     const DenoiserContext& /*context*/) override {
    const double time = time_of(name_, condition[0].item<double>());
    const PathPoint p = point_of(process_, time);
    const Coefficients c = process_.coefficients(at::full({1}, time, at::kDouble));
    const at::Tensor x = seen / c.scale.item<double>();
    at::Tensor image = mixture::denoised(x, p.alpha, p.sigma);
    for (int mode = 0; knows_labels_ && mode < 2; ++mode)
      image = at::where((labels == mode).view({-1, 1, 1, 1}), denoised_of_mode(x, mode, p), image);
    return (image - c.keep.item<double>() * x) / c.gain.item<double>();
  }
  void initialise(std::uint64_t /*seed*/) override {}

 private:
  std::string name_;
  const DiffusionProcess& process_;
  bool knows_labels_;
};

/// p(mode | x_t), as its logits.
class ExactClassifier final : public ClassifierNetwork {
 public:
  ExactClassifier(std::string name, const DiffusionProcess& process)
      : name_(std::move(name)), process_(process) {
    register_parameter("unused", at::zeros({1}));  // a player has something to learn
  }
  at::Tensor forward(const at::Tensor& seen, const at::Tensor& condition,
                     const DenoiserContext& /*context*/) override {
    const double time = time_of(name_, condition[0].item<double>());
    const PathPoint p = point_of(process_, time);
    const at::Tensor x = seen / process_.coefficients(at::full({1}, time, at::kDouble)).scale.item<double>();
    const double total = p.alpha * p.alpha * mixture::deviation * mixture::deviation + p.sigma * p.sigma;
    std::vector<at::Tensor> logits;
    for (int mode = 0; mode < 2; ++mode)
      logits.push_back(std::log(mixture::weights[mode]) -
                       (x - p.alpha * mixture::mean_of(mode)).square().flatten(1).sum(1) / (2 * total));
    return at::stack(logits, 1);
  }
  void initialise(std::uint64_t /*seed*/) override {}

 private:
  std::string name_;
  const DiffusionProcess& process_;
};

std::unique_ptr<DiffusionProcess> made(const std::string& name) {
  DdpmOptions options;
  options.schedule.kind = "cosine";
  if (name == "ddpm") return std::make_unique<Ddpm>(options);
  if (name == "edm") return std::make_unique<Edm>();
  return std::make_unique<Flow>();
}

/// A sampler of the exact network; with a weight it is guided by label, with a classifier by that.
struct Draws {
  std::string process, solver;
  std::int64_t steps = 12;
  double guidance = 1, scale = 0;
  std::shared_ptr<NoisyClassifier> classifier = nullptr;
  bool knows_labels = false;
  bool clip = false;

  at::Tensor images(const DiffusionProcess& p, const at::Tensor& labels) const {
    DrawOptions draw;
    draw.solver = solver;
    draw.steps = steps;
    draw.clip = clip;
    draw.guidance = guidance;
    DiffusionSampler sampler(std::make_shared<ExactDenoiser>(process, p, knows_labels), p, draw,
                             {.seed = 5,
                              .images = knows_labels ? plane : plane_without_classes,
                              .without_label = knows_labels,
                              .activations = std::nullopt,
                              .dtype = at::kDouble,
                              .device = at::kCPU});
    if (classifier) sampler.guide_by(classifier, scale);
    return sampler.images(0, labels);
  }
};

MethodContext context_on(Communicator& alone, at::ScalarType dtype = at::kDouble) {
  return {.gradients = alone, .batch_norm = alone, .batch = 256, .seed = 1, .dtype = dtype};
}

// grad log p(y | x) is the label's score less that of all: a classifier of weight s does what guidance w = s does.
TEST(ClassifierGuidance, ByTheExactClassifierIsThatByTheLabel) {
  const auto alone = make_single_communicator();
  const at::Tensor labels = at::arange(64).remainder(2);
  for (const std::string name : {"ddpm", "edm"})
    for (const char* solver : {"ddim", "euler", "heun", "dpm++2m"})
      for (const double scale : {1.0, 2.5}) {
        const auto process = made(name);
        NoisyClassifierMethod method(
            {plane, [&] { return std::make_shared<ExactClassifier>(name, *process); }}, *process, {},
            context_on(*alone));
        const at::Tensor by_label =
            Draws{.process = name, .solver = solver, .guidance = scale, .knows_labels = true}.images(*process,
                                                                                                     labels);
        const at::Tensor by_classifier =
            Draws{.process = name, .solver = solver, .scale = scale, .classifier = method.classifier()}
                .images(*process, labels);
        const double off = (by_label - by_classifier).abs().max().item<double>();
        fmt::print("{} {} at {}: samples off by {:.1e}\n", name, solver, scale, off);
        EXPECT_LT(off, 1e-5);
        const at::Tensor unguided = Draws{.process = name, .solver = solver}.images(*process, labels);
        EXPECT_GT((by_classifier - unguided).abs().max().item<double>(), 0.1);
      }
}

// Algorithm 1: the mean of the backward step is moved by its variance times the pull.
TEST(ClassifierGuidance, MovesTheMeanOfDdpmsStep) {
  const auto process = made("ddpm");
  const PathPoint from = point_of(*process, 700), to = point_of(*process, 650);
  const auto normal = [](std::uint64_t seed) {
    return RandomStream({.seed = seed}).normal(0, 3, 2, at::kDouble).view({3, 2, 1, 1});
  };
  const at::Tensor x = normal(1), image = normal(2), pull = normal(3), noise = normal(4);
  const BackwardStep step(from.level(), to.level());
  for (const char* variance : {"small", "large"}) {
    const auto solver = make_solver("ddpm", {.variance = variance});
    const at::Tensor moved = solver->step(
        x, from, to,
        [&](const at::Tensor&, const PathPoint&) {
          return Denoised{image + 7, {}, image, pull};
        },
        [&] { return noise; });
    const double v =
        (std::string(variance) == "large" ? step.forward_variance : step.posterior_variance).item<double>();
    const at::Tensor expected = step.mean(x, image) + v * pull + std::sqrt(v) * noise;
    EXPECT_LT((moved - expected).abs().max().item<double>(), 1e-12);
  }
}

/// The share of samples in the mode that was asked for, and how far their mean is from its.
std::pair<double, double> hit(const at::Tensor& images, int mode) {
  const at::Tensor x = images.to(at::kDouble), second = x.select(1, 0) > -0.05;
  const double share = second.to(at::kDouble).mean().item<double>();
  return {mode == 1 ? share : 1 - share,
          (x.mean(0, true) - mixture::mean_of(mode)).abs().max().item<double>()};
}

TEST(ClassifierGuidance, AsksForAModeByAnySolver) {
  const auto alone = make_single_communicator();
  for (const auto& [name, solver] : {std::pair("ddpm", "ddpm"), std::pair("ddpm", "ddim"),
                                     std::pair("flow", "euler"), std::pair("edm", "heun")}) {
    const auto process = made(name);
    NoisyClassifierMethod method({plane, [&] { return std::make_shared<ExactClassifier>(name, *process); }},
                                 *process, {}, context_on(*alone));
    for (int mode = 0; mode < 2; ++mode) {
      const Draws draws{
          .process = name, .solver = solver, .steps = 100, .scale = 1, .classifier = method.classifier()};
      const auto [share, off] = hit(draws.images(*process, at::full({500}, mode, at::kLong)), mode);
      fmt::print("{} {}: {:.1f}% in mode {}, mean off by {:.3f}\n", name, solver, 100 * share, mode, off);
      EXPECT_GT(share, 0.97);
      EXPECT_LT(off, 0.05);
    }
  }
}

/// The point and sinusoids of the time through two hidden layers.
class SmallMlp final : public ClassifierNetwork {
 public:
  SmallMlp() {
    const std::int64_t widths[] = {2 + waves, 64, 64, 2};
    for (std::size_t i = 0; i < layers_.size(); ++i)
      layers_[i] = register_module("layer" + std::to_string(i),
                                   std::make_shared<Linear>(widths[i], widths[i + 1], WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition,
                     const DenoiserContext& /*context*/) override {
    at::Tensor h =
        at::cat({x.reshape({-1, 2}), sinusoids(condition, {waves, false, 1}).to(x.scalar_type())}, 1);
    for (std::size_t i = 0; i + 1 < layers_.size(); ++i) h = at::silu(layers_[i]->forward(h));
    return layers_.back()->forward(h);
  }
  void initialise(std::uint64_t seed) override { ganymede::initialise(*this, "xavier", seed); }

 private:
  static constexpr std::int64_t waves = 16;
  std::array<std::shared_ptr<Linear>, 3> layers_;
};

TEST(ClassifierGuidance, TheLearnedPosteriorIsTheExactOne) {
  const auto alone = make_single_communicator();
  const auto process = made("ddpm");
  constexpr std::int64_t steps = 2000, batch = 256;
  OptimizerOptions learning{.lr = 3e-3, .beta1 = 0.9, .eps = 1e-8};
  learning.decay = "cosine";
  learning.decay_until = steps;
  NoisyClassifierMethod method({plane, [] { return std::make_shared<SmallMlp>(); }}, *process, learning,
                               context_on(*alone, at::kFloat));
  method.initialise();
  std::int64_t position = 0;
  for (std::int64_t step = 1; step <= steps; ++step)
    method.step(step, [&] {
      const at::Tensor points = mixture::points(position, batch);
      Batch next{
          points.to(at::kFloat), (points.select(1, 0) > -0.05).to(at::kLong).flatten(), position, {0, batch}};
      position += batch;
      return next;
    });
  const auto learned = method.classifier();
  NoisyClassifierMethod known({plane, [&] { return std::make_shared<ExactClassifier>("ddpm", *process); }},
                              *process, {}, context_on(*alone));
  const auto exact = known.classifier();
  for (const double time : {300, 500, 700}) {
    const PathPoint p = point_of(*process, time);
    const at::Tensor noise = RandomStream({.seed = 3}).normal(0, 4000, 2, at::kDouble).view({-1, 2, 1, 1});
    const at::Tensor x = p.alpha * mixture::points(1'000'000, 4000) + p.sigma * noise;
    const at::Tensor labels = at::arange(4000).remainder(2), truth = exact->gradient(x, time, labels);
    const double error = ((learned->gradient(x, time, labels) - truth).norm() / truth.norm()).item<double>();
    fmt::print("gradient off by {:.1f}% at {}\n", 100 * error, time);
    EXPECT_LT(error, 0.25);
  }
  for (int mode = 0; mode < 2; ++mode) {
    const Draws draws{
        .process = "ddpm", .solver = "ddim", .steps = 50, .scale = 1, .classifier = learned, .clip = true};
    const auto [share, off] = hit(draws.images(*process, at::full({500}, mode, at::kLong)), mode);
    fmt::print("{:.1f}% in mode {}, mean off by {:.3f}\n", 100 * share, mode, off);
    EXPECT_GT(share, 0.95);
  }
}

TEST(ClassifierGuidance, ByAClassifierOfSomethingElseIsRefused) {
  const auto alone = make_single_communicator();
  const auto process = made("ddpm"), other = std::unique_ptr<DiffusionProcess>(std::make_unique<Ddpm>());
  const auto refused = [&](const ImageSpec& known, const DiffusionProcess& noise, bool knows_labels,
                           const std::string& what) {
    NoisyClassifierMethod method({known, [] { return std::make_shared<SmallMlp>(); }}, noise, {},
                                 context_on(*alone));
    const Draws draws{.process = "ddpm",
                      .solver = "ddim",
                      .scale = 1,
                      .classifier = method.classifier(),
                      .knows_labels = knows_labels};
    try {
      draws.images(*process, at::zeros({1}, at::kLong));
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::options);
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  refused({2, 2, 1, 2}, *process, false, "images of 2 x 2 x 1");
  refused({2, 1, 1, 3}, *process, true, "3 classes apart");
  refused(plane, *other, false, "other noise");
  refused(plane, *made("edm"), false, "other noise");
}

}  // namespace
}  // namespace ganymede
