#include "tests/models/denoiser_suite.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/distributed/world.h"

namespace ganymede::test {
namespace {

constexpr std::int64_t steps = 6;

/// The mean of the last steps' losses over that of the first.
double progress(const SmallDenoiserOptions& options, std::int64_t count) {
  const auto group = world().duplicate("gradients");
  SmallDenoiser run(options, *group);
  const std::vector<double> losses = run.train(count);
  double first = 0, last = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    first += losses[i];
    last += losses[losses.size() - 1 - i];
  }
  return sum_over_ranks(last) / sum_over_ranks(first);
}

}  // namespace

NamedTensors train_alone(const SmallDenoiserOptions& options) {
  const auto alone = make_single_communicator();
  SmallDenoiser run(options, *alone);
  run.train(steps);
  return run.state();
}

double difference(const NamedTensors& run, const NamedTensors& reference) {
  double worst = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const auto& [name, expected] = reference[i];
    EXPECT_EQ(run[i].first, name);
    if (name.ends_with("to_k.bias") || expected.numel() == 0) continue;
    const double absolute = (run[i].second - expected).norm().item<double>();
    if (absolute > 0) worst = std::max(worst, absolute / expected.norm().item<double>());
  }
  return worst;
}

void expect_same_run(const SmallDenoiserOptions& options) {
  const auto group = world().duplicate("gradients");
  SmallDenoiser run(options, *group);
  run.train(steps);
  const NamedTensors state = run.state();
  for (const auto& [name, tensor] : state) EXPECT_TRUE(equal_on_all_ranks(tensor)) << name;
  if (world().rank() == 0) {
    EXPECT_LE(difference(state, train_alone(options)), denoiser_bound);
  }
}

void expect_repeats_and_resumes(const std::map<std::string, std::string>& changes) {
  for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
    const SmallDenoiserOptions options{.options = changes, .dtype = at::kFloat, .activations = activations};
    const auto group = world().duplicate("gradients");
    SmallDenoiser whole(options, *group), again(options, *group), resumed(options, *group);
    whole.train(3);
    resumed.train(1);  // what it has is to be replaced
    resumed.restore(whole.state(), 3);
    whole.train(3);
    resumed.train(3);
    again.train(6);
    const NamedTensors state = whole.state(), twice = again.state(), later = resumed.state();
    bool same = true;
    for (std::size_t i = 0; i < state.size(); ++i)
      same =
          same && at::equal(state[i].second, twice[i].second) && at::equal(state[i].second, later[i].second);
    EXPECT_TRUE(everywhere(same));
  }
}

void expect_learns_by_heart(const std::map<std::string, std::string>& changes) {
  for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
    const double ratio = progress(
        {.options = changes, .dtype = at::kFloat, .activations = activations, .few_images = true}, 80);
    EXPECT_LT(ratio, 0.8);
  }
}

void expect_refused(const std::map<std::string, std::string>& options, const std::string& what) {
  try {
    small_denoiser_recipe(options);
    ADD_FAILURE() << what << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

}  // namespace ganymede::test
