#include "evaluation/metrics/path_length.h"

#include <gtest/gtest.h>

#include "core/metrics/path_length.h"
#include "evaluation/evaluator.h"
#include "evaluation/sampled_images.h"
#include "models/features/lpips.h"
#include "models/latent_paths.h"
#include "models/method.h"
#include "tests/core/temporary_folder.h"
#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

using test::world;

/// Images [N, 1, 16, 16] whose paths lead from one pattern a little way to another.
class Paths final : public Sampler, public LatentPaths {
 public:
  explicit Paths(std::int64_t unit) : unit_(unit) {}
  std::int64_t granularity() const override { return unit_; }
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override {
    return pattern("from", first, labels.numel());
  }
  std::pair<at::Tensor, at::Tensor> path_ends(std::int64_t first, const at::Tensor& labels,
                                              double step) override {
    EXPECT_EQ(first % unit_, 0);
    EXPECT_EQ(labels.numel() % unit_, 0);
    const at::Tensor from = pattern("from", first, labels.numel());
    return {from, from + 30 * step * pattern("to", first, labels.numel())};
  }

 private:
  static at::Tensor pattern(const char* stream, std::int64_t first, std::int64_t count) {
    return RandomStream({.seed = 4, .stream = stream})
                   .uniform(first, count, 256, at::kFloat)
                   .view({-1, 1, 16, 16}) *
               2 -
           1;
  }
  std::int64_t unit_;
};

Evaluation evaluate(ImageSet& images, const Lpips* network) {
  EvaluatorOptions options{.metrics = {&find_metric("ppl")}};
  options.metric.lpips = network;
  test::LinearExtractor extractor;
  Evaluator evaluator(world(), extractor, options);
  evaluator.check(images, 0);
  return evaluator.evaluate(images, 0);
}

TEST(PathLength, IsTheMeanOfSquaredDistancesOverTheSquaredStep) {
  constexpr std::int64_t count = 23;
  const auto network = test::random_lpips();
  Paths all(1);
  const auto [from, to] = all.path_ends(0, at::zeros({count}, at::kLong), 1e-4);
  const at::Tensor distances =
      network->distance(from.expand({-1, 3, -1, -1}), to.expand({-1, 3, -1, -1})).to(at::kDouble);
  const double expected = mean_within_percentiles(distances / 1e-8).value;
  for (const std::int64_t unit : {1, 4}) {
    Paths sampler(unit);
    SampledImages images(sampler, count, {1, 16, 16},
                         [](std::int64_t, std::int64_t n) { return at::zeros({n}, at::kLong); }, false, "run",
                         nlohmann::json::object());
    const Evaluation evaluation = evaluate(images, network.get());
    const Score& score = evaluation.scores.front();
    EXPECT_NEAR(score.value / expected, 1, 1e-3) << "unit " << unit;
    EXPECT_GT(score.value, 1e-3);
    EXPECT_GT(*score.error, 0);
    EXPECT_EQ(score.details["paths"], count);
    EXPECT_EQ(score.details["space"], "z");
    EXPECT_TRUE(evaluation.warnings.empty());
  }
}

TEST(PathLength, WantsARunAndWeights) {
  const auto network = test::random_lpips();
  test::TensorImages tensor(test::patterned_images(8, 1));
  const auto refusal = [&](ImageSet& images, const Lpips* weights) {
    return expect_error(ExitCode::options, [&] { evaluate(images, weights); });
  };
  EXPECT_NE(refusal(tensor, network.get()).find("a run of a generator"), std::string::npos);
  Paths sampler(1);
  SampledImages images(sampler, 8, {1, 16, 16},
                       [](std::int64_t, std::int64_t n) { return at::zeros({n}, at::kLong); }, false, "run",
                       nlohmann::json::object());
  EXPECT_NE(refusal(images, nullptr).find("--lpips"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
