// Ten steps of adversarial training on a GPU against the same on the CPU, in float64; and the same bits
// again.

#include <gtest/gtest.h>

#include "launch/device.h"
#include "tests/models/small_gan.h"

namespace ganymede {
namespace {

using test::SmallGan;
using test::SmallGanOptions;

constexpr std::int64_t steps = 10;

struct Outcome {
  NamedTensors state;
  Figures figures;
};

Outcome train(SmallGanOptions options, at::Device device) {
  options.device = device;
  const auto alone = make_single_communicator();
  SmallGan run(options, *alone, *alone);
  Figures figures = run.train(steps);
  NamedTensors state = run.state();
  for (auto& [name, tensor] : state) tensor = tensor.cpu();
  return {std::move(state), std::move(figures)};
}

const SmallGanOptions scenarios[] = {
    {.batch = 8},
    {.batch = 10, .accumulate = 2, .options = {{"gan.gradient_penalty", "10"}, {"gan.loss", "wasserstein"}}},
    {.batch = 8, .options = {{"gan.batch_norm_group", "4"}, {"gan.d_steps", "2"}}},
    {.batch = 6,
     .options = {{"gan.orthogonal", "1e-3"}, {"generator.clip", "0.1"}, {"discriminator.clip", "0.1"}}},
    {.network = "stylegan2",
     .batch = 6,
     .options = {{"gan.gradient_penalty", "1"},
                 {"gan.gradient_penalty_kind", "r1"},
                 {"gan.path_length", "2"},
                 {"generator.eps", "1e-3"},
                 {"discriminator.eps", "1e-3"}}},
};

/// The largest difference of a tensor, over its norm or over 1: biases before a batch norm are rounding
/// errors that Adam magnifies, and stay small.
double difference(const Outcome& run, const Outcome& reference) {
  double worst = 0;
  for (std::size_t i = 0; i < reference.state.size(); ++i) {
    const double norm = reference.state[i].second.norm().item<double>();
    const double distance = (run.state[i].second - reference.state[i].second).norm().item<double>();
    worst = std::max(worst, distance / std::max(1., norm));
  }
  return worst;
}

class Training : public testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override { set_arithmetic({.deterministic = true}); }
};

TEST_P(Training, OfTenStepsEqualsTheCpus) {
  const SmallGanOptions& options = scenarios[GetParam()];
  const Outcome host = train(options, at::kCPU), device = train(options, {at::kCUDA, 0});
  const double worst = difference(device, host);
  RecordProperty("difference", fmt::format("{:.3g}", worst));
  EXPECT_LT(worst, 1e-7);
  for (std::size_t i = 0; i < host.figures.size(); ++i)
    EXPECT_NEAR(device.figures[i].second, host.figures[i].second,
                1e-7 * (1 + std::abs(host.figures[i].second)))
        << host.figures[i].first;
}

TEST_P(Training, RepeatsBitForBit) {
  const SmallGanOptions& options = scenarios[GetParam()];
  const Outcome once = train(options, {at::kCUDA, 0}), again = train(options, {at::kCUDA, 0});
  for (std::size_t i = 0; i < once.state.size(); ++i)
    EXPECT_TRUE(at::equal(once.state[i].second, again.state[i].second)) << once.state[i].first;
}

INSTANTIATE_TEST_SUITE_P(Gpu, Training, testing::Range<std::size_t>(0, std::size(scenarios)));

}  // namespace
}  // namespace ganymede
