// The same seed and the same global batches train the same networks on any number of ranks, up to rounding.

#include <gtest/gtest.h>

#include <map>
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
  Figures report;  ///< the global figures
  /// The smallest of a parameter's gradients over the run, by its largest element, over the largest of its
  /// player's. (Gradients that are zero to the last bit leave no rounding error and do not count.)
  std::map<std::string, double> least_gradient;
};

/// Follows the gradients of a run on one rank.
class GradientScale {
 public:
  void see(std::string_view name, const at::Tensor& gradient) {
    const std::size_t end = name.find(".gradient.");
    if (end == name.npos) return;
    const std::string player(name.substr(0, end)),
        tensor(name.substr(end + std::string_view(".gradient.").size()));
    const double size = gradient.abs().max().item<double>();
    largest_[player] = std::max(largest_[player], size);
    double& least = least_[{player, tensor}];
    if (size > 0) least = least == 0 ? size : std::min(least, size);
  }
  std::map<std::string, double> least_gradient() const {
    std::map<std::string, double> ratios;
    for (const auto& [name, least] : least_)
      ratios[name.first + "/" + name.second] = least / largest_.at(name.first);
    return ratios;
  }

 private:
  std::map<std::string, double> largest_;
  std::map<std::pair<std::string, std::string>, double> least_;
};

Outcome train_alone(const SmallGanOptions& options) {
  const auto alone = make_single_communicator();
  SmallGan run(options, *alone, *alone);
  GradientScale scale;
  run.method().observe = [&](std::string_view name, const at::Tensor& tensor) { scale.see(name, tensor); };
  Figures report = run.train(steps);
  return {run.state(), std::move(report), scale.least_gradient()};
}

/// The run on all ranks. `prepare` may tamper with it first.
Outcome train_together(const SmallGanOptions& options, const std::function<void(SmallGan&)>& prepare = {}) {
  const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
  SmallGan run(options, *gradients, *norms);
  if (prepare) prepare(run);
  Figures report = run.train(steps);
  for (auto& [name, figure] : report) figure = test::sum_over_ranks(figure);
  return {run.state(), std::move(report), {}};
}

enum Scenario {
  awkward_batch,
  silent_attention,
  accumulation,
  several_discriminator_steps,
  straddling_groups,
  orthogonal_and_clipping,
  wgan_gp_and_accumulation,
  r1,
};
const SmallGanOptions scenarios[] = {
    // Neither 2, 3 nor 4 ranks divide it.
    {.batch = 7},
    // As networks are initialised.
    {.batch = 5, .attention = 0},
    {.batch = 10, .accumulate = 2},
    {.batch = 6, .options = {{"gan.d_steps", "2"}, {"gan.loss", "logistic"}}},
    {.batch = 10, .options = {{"gan.batch_norm_group", "5"}}},
    {.batch = 5,
     .options = {{"gan.orthogonal", "1e-3"}, {"generator.clip", "0.1"}, {"discriminator.clip", "0.1"}}},
    {.batch = 10, .accumulate = 2, .options = {{"gan.gradient_penalty", "10"}, {"gan.loss", "wasserstein"}}},
    {.batch = 7, .options = {{"gan.gradient_penalty", "5"}, {"gan.gradient_penalty_kind", "r1"}}},
};

/// A scenario's run on one rank. The ranks share this work: each reference lies with one rank, which
/// compares, and is null on the others.
const Outcome* reference(Scenario scenario) {
  static const auto mine = [] {
    std::map<std::size_t, Outcome> outcomes;
    for (std::size_t i = 0; i < std::size(scenarios); ++i)
      if (static_cast<int>(i) % world().size() == world().rank())
        outcomes.emplace(i, train_alone(scenarios[i]));
    return outcomes;
  }();
  const auto found = mine.find(scenario);
  return found == mine.end() ? nullptr : &found->second;
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

struct Difference {
  double relative = 0;         ///< largest relative L2 of a tensor
  std::string where;           ///< that tensor
  double absolute = 0;         ///< largest L2 of a tensor whose true gradient is zero
  std::set<std::string> zero;  ///< those tensors
};

/// A tensor whose true gradient is zero in a step takes a step of rounding errors there, which Adam
/// magnifies: it is compared absolutely. Such a tensor is known by a gradient of at most 1e-12 of its
/// player's largest in the reference run. (A convolution's bias in front of a batch norm is one.)
Difference difference(const Outcome& run, const Outcome& reference) {
  Difference worst;
  for (const auto& [full, expected] : reference.state) {
    const Name name(full);
    const double absolute = (tensor_of(run.state, full) - expected).norm().item<double>();
    const auto gradient = reference.least_gradient.find(name.player + "/" + name.tensor);
    if (gradient != reference.least_gradient.end() && gradient->second <= 1e-12) {
      worst.absolute = std::max(worst.absolute, absolute);
      worst.zero.insert(gradient->first);
      continue;
    }
    const double relative = absolute == 0 ? 0 : absolute / expected.norm().item<double>();
    if (!(relative <= worst.relative)) {
      worst.relative = relative;
      worst.where = full;
    }
  }
  return worst;
}

void expect_same_report(const Figures& report, const Figures& reference) {
  ASSERT_EQ(report.size(), reference.size());
  for (std::size_t i = 0; i < reference.size(); ++i)
    EXPECT_NEAR(report[i].second, reference[i].second, bound * (1 + std::abs(reference[i].second)))
        << reference[i].first;
}

void expect_same_run(Scenario scenario) {
  const Outcome* const expected = reference(scenario);
  const Outcome run = train_together(scenarios[scenario]);
  for (const auto& [name, tensor] : run.state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
  if (!expected) return;
  const Difference worst = difference(run, *expected);
  EXPECT_LE(worst.relative, bound) << worst.where;
  EXPECT_LE(worst.absolute, bound);
  // G's block has a batch norm behind its first convolution, and one after its last block; while attention is
  // silent, behind all blocks. A critic's last bias adds as much to the real logits as to the fake ones.
  for (const std::string& name : worst.zero)
    EXPECT_TRUE((name.starts_with("generator/block") && name.ends_with(".bias")) ||
                name == "discriminator/linear.bias" ||
                (scenario == silent_attention && name.find("/attention") != name.npos))
        << name;
  expect_same_report(run.report, expected->report);
}

TEST(RankInvariance, OfAnAwkwardBatch) {
  expect_same_run(awkward_batch);
}
TEST(RankInvariance, WhileAttentionIsSilent) {
  expect_same_run(silent_attention);
}
TEST(RankInvariance, WithAccumulation) {
  expect_same_run(accumulation);
}
TEST(RankInvariance, WithSeveralDiscriminatorSteps) {
  expect_same_run(several_discriminator_steps);
}
TEST(RankInvariance, WithGroupsThatLieOnSeveralRanks) {
  expect_same_run(straddling_groups);
}
TEST(RankInvariance, WithOrthogonalRegulariserAndClipping) {
  expect_same_run(orthogonal_and_clipping);
}
TEST(RankInvariance, WithGradientPenaltyAndAccumulation) {
  expect_same_run(wgan_gp_and_accumulation);
}
TEST(RankInvariance, WithR1Penalty) {
  expect_same_run(r1);
}

// The bound is worth something: another image at one position of the last step breaks it. (With a penalty
// that every image has: the hinge loss may be flat there.)
TEST(RankInvariance, OneChangedSampleBreaksTheBound) {
  const Outcome* const expected = reference(r1);
  const Outcome changed = train_together(
      scenarios[r1], [](SmallGan& run) { run.change_image((steps - 1) * scenarios[r1].batch + 3); });
  if (!expected) return;
  EXPECT_GT(difference(changed, *expected).relative, 1e3 * bound);
}

// What a reducer does that listens to the penalty's inner gradient: it sums what the micro-steps before have
// left, and the sum is summed again in the end. On one rank there is nothing to sum twice.
TEST(RankInvariance, AReducerThatFiresInsideThePenaltyBreaksTheBound) {
  const Outcome* const expected = reference(wgan_gp_and_accumulation);
  const auto gradients = world().duplicate("tampering");
  const Outcome tampered = train_together(scenarios[wgan_gp_and_accumulation], [&](SmallGan& run) {
    run.method().observe = [&](std::string_view name, const at::Tensor&) {
      if (name == "discriminator.penalty")
        gradients->all_reduce(run.discriminator().gradient_arena())->wait();
    };
  });
  if (!expected) return;
  const double error = difference(tampered, *expected).relative;
  if (world().size() == 1)
    EXPECT_LE(error, bound);
  else
    EXPECT_GT(error, 1e3 * bound);
}

}  // namespace
}  // namespace ganymede
