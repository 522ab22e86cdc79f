// The same seed and the same global batches train the same networks on any number of ranks, up to rounding.

#include <gtest/gtest.h>

#include <set>

#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"

namespace ganymede {
namespace {

using test::SmallGan;
using test::SmallGanOptions;
using test::world;

constexpr std::int64_t steps = 10;
constexpr double bound = 1e-9;

struct Outcome {
  NamedTensors state;
  StepReport report;  ///< the global figures
};

Outcome outcome_of(SmallGan& run) {
  StepReport report = run.train(steps);
  return {run.state(), std::move(report)};
}

/// The run on one rank: each rank's own copy.
Outcome train_alone(const SmallGanOptions& options) {
  const auto alone = make_single_communicator();
  SmallGan run(options, *alone, *alone);
  return outcome_of(run);
}

/// The run on all ranks. `prepare` may tamper with it first.
Outcome train_together(const SmallGanOptions& options, const std::function<void(SmallGan&)>& prepare = {}) {
  const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
  SmallGan run(options, *gradients, *norms);
  if (prepare) prepare(run);
  Outcome outcome = outcome_of(run);
  for (auto& [name, figure] : outcome.report) figure = test::sum_over_ranks(figure);
  return outcome;
}

const at::Tensor& tensor_of(const NamedTensors& state, const std::string& name) {
  const auto found = std::ranges::find(state, name, [](const auto& item) { return item.first; });
  if (found == state.end()) throw std::logic_error("no tensor " + name);
  return found->second;
}

struct Name {
  std::string player, kind, tensor;
  explicit Name(const std::string& full) {
    const std::size_t first = full.find('/'), second = full.find('/', first + 1);
    player = full.substr(0, first);
    kind = full.substr(first + 1, second - first - 1);
    tensor = full.substr(second + 1);
  }
};

/// Whether a tensor's true gradient is zero, so that it holds rounding errors alone: by the reference run's
/// second moments, the root of whose largest element is at most 1e-12 of that of the player's largest tensor.
/// (A convolution's bias in front of a batch norm is such a tensor.)
bool gradient_is_zero(const NamedTensors& reference, const Name& name) {
  double largest = 0;
  for (const auto& [full, tensor] : reference)
    if (full.starts_with(name.player + "/adam_v/")) largest = std::max(largest, tensor.max().item<double>());
  const at::Tensor& own = tensor_of(reference, fmt::format("{}/adam_v/{}", name.player, name.tensor));
  return own.max().item<double>() <= 1e-24 * largest;
}

struct Difference {
  double relative = 0;         ///< largest relative L2 of a tensor
  std::string where;           ///< that tensor
  double absolute = 0;         ///< largest L2 of a tensor whose true gradient is zero
  std::set<std::string> zero;  ///< those tensors
};

Difference difference(const Outcome& run, const Outcome& reference) {
  Difference worst;
  for (const auto& [full, expected] : reference.state) {
    const Name name(full);
    const double absolute = (tensor_of(run.state, full) - expected).norm().item<double>();
    if (!name.kind.ends_with("buffer") && gradient_is_zero(reference.state, name)) {
      worst.absolute = std::max(worst.absolute, absolute);
      worst.zero.insert(name.player + "/" + name.tensor);
      continue;
    }
    const double norm = expected.norm().item<double>();
    const double relative = absolute == 0 ? 0 : absolute / norm;
    if (!(relative <= worst.relative)) {
      worst.relative = relative;
      worst.where = full;
    }
  }
  return worst;
}

void expect_same_run(const SmallGanOptions& options) {
  const Outcome reference = train_alone(options);
  const Outcome run = train_together(options);
  const Difference worst = difference(run, reference);
  EXPECT_LE(worst.relative, bound) << worst.where;
  EXPECT_LE(worst.absolute, bound);
  // G's block has a batch norm behind its first convolution, and one after its last block; a critic's last
  // bias adds as much to the real logits as to the fake ones.
  for (const std::string& name : worst.zero)
    EXPECT_TRUE((name.starts_with("generator/block") && name.ends_with(".bias")) ||
                name == "discriminator/linear.bias")
        << name;
  for (const auto& [name, tensor] : run.state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
  for (std::size_t i = 0; i < reference.report.size(); ++i)
    EXPECT_NEAR(run.report[i].second, reference.report[i].second,
                bound * (1 + std::abs(reference.report[i].second)))
        << reference.report[i].first;
  if (world().rank() == 0)
    testing::Test::RecordProperty("relative", fmt::format("{:.1e} {}", worst.relative, worst.where));
}

// Neither 3 nor 4 ranks, nor 2, divide it.
TEST(RankInvariance, OfAnAwkwardBatch) {
  expect_same_run({.batch = 7});
}

TEST(RankInvariance, WithAccumulation) {
  expect_same_run({.batch = 10, .accumulate = 2});
}

TEST(RankInvariance, WithSeveralDiscriminatorSteps) {
  expect_same_run({.batch = 6, .options = {{"gan.d_steps", "2"}, {"gan.loss", "logistic"}}});
}

TEST(RankInvariance, WithGroupsThatLieOnSeveralRanks) {
  expect_same_run({.batch = 20, .accumulate = 2, .options = {{"gan.batch_norm_group", "5"}}});
}

TEST(RankInvariance, WithOrthogonalRegulariserAndClipping) {
  expect_same_run(
      {.batch = 5,
       .options = {{"gan.orthogonal", "1e-3"}, {"generator.clip", "0.1"}, {"discriminator.clip", "0.1"}}});
}

const SmallGanOptions with_wgan_gp = {
    .batch = 10, .accumulate = 2, .options = {{"gan.gradient_penalty", "10"}, {"gan.loss", "wasserstein"}}};

TEST(RankInvariance, WithGradientPenaltyAndAccumulation) {
  expect_same_run(with_wgan_gp);
}

TEST(RankInvariance, WithR1Penalty) {
  expect_same_run(
      {.batch = 7, .options = {{"gan.gradient_penalty", "5"}, {"gan.gradient_penalty_kind", "r1"}}});
}

// The bound is worth something: another image at one position breaks it. (In the first step: later on the
// hinge loss may be flat there.)
TEST(RankInvariance, OneChangedSampleBreaksTheBound) {
  const SmallGanOptions options{.batch = 7};
  const Outcome reference = train_alone(options);
  const Outcome changed = train_together(options, [&](SmallGan& run) { run.change_image(3); });
  EXPECT_GT(difference(changed, reference).relative, 1e3 * bound);
}

// What a reducer does that listens to the penalty's inner gradient: it sums what the micro-steps before have
// left, and the sum is summed again in the end. On one rank there is nothing to sum twice.
TEST(RankInvariance, AReducerThatFiresInsideThePenaltyBreaksTheBound) {
  const Outcome reference = train_alone(with_wgan_gp);
  const auto gradients = world().duplicate("tampering");
  const Outcome tampered = train_together(with_wgan_gp, [&](SmallGan& run) {
    run.method().observe = [&](std::string_view name, const at::Tensor&) {
      if (name == "discriminator.penalty")
        gradients->all_reduce(run.discriminator().gradient_arena())->wait();
    };
  });
  const double error = difference(tampered, reference).relative;
  if (world().size() == 1)
    EXPECT_LE(error, bound);
  else
    EXPECT_GT(error, 1e3 * bound);
}

}  // namespace
}  // namespace ganymede
