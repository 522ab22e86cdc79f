// Whole methods whose ranks share moments and averages: the same run, for less memory.

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <set>

#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/models/small_denoiser.h"
#include "tests/models/small_gan.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::SmallDenoiser;
using test::SmallDenoiserOptions;
using test::SmallGan;
using test::SmallGanOptions;
using test::world;

constexpr double bound = 1e-12;

/// "generator/linear.weight" of "generator/ema/linear.weight".
std::string parameter_of(const std::string& name) {
  const std::size_t first = name.find('/'), second = name.find('/', first + 1);
  return second == name.npos ? name : name.substr(0, first) + name.substr(second);
}

/// Parameters whose true gradient is zero, such as a bias in front of a batch norm: theirs is rounding, which is another
/// where the weights differ in their last digit. They are known by their second moment.
std::set<std::string> without_gradient(const NamedTensors& state) {
  std::map<std::string, double> largest;
  const auto each = [&](const auto& act) {
    for (const auto& [name, tensor] : state)
      if (name.find("/adam_v/") != name.npos)
        act(name.substr(0, name.find('/')), parameter_of(name), tensor.max().template item<double>());
  };
  each([&](const std::string& player, const std::string&, double v) {
    largest[player] = std::max(largest[player], v);
  });
  std::set<std::string> names;
  each([&](const std::string& player, const std::string& parameter, double v) {
    if (v <= 1e-22 * largest[player]) names.insert(parameter);
  });
  return names;
}

/// The largest relative L2 of a tensor, absolute where its gradient is zero.
double difference(const NamedTensors& ours, const NamedTensors& expected) {
  EXPECT_EQ(ours.size(), expected.size());
  const std::set<std::string> silent = without_gradient(expected);
  EXPECT_LT(4 * silent.size(), expected.size()) << "no parameter learns";
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, tensor] = expected[i];
    EXPECT_EQ(ours[i].first, name);
    const double absolute = (ours[i].second - tensor).norm().item<double>();
    const double scale = silent.contains(parameter_of(name)) ? 1 : tensor.norm().item<double>();
    if (absolute != 0) worst = std::max(worst, absolute / scale);
  }
  return worst;
}

NamedTensors gan_state(SmallGanOptions options, bool shard, std::int64_t steps) {
  options.shard_optimizer = shard;
  const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
  SmallGan run(options, *gradients, *norms);
  run.train(steps);
  return run.state();
}

NamedTensors denoiser_state(SmallDenoiserOptions options, bool shard, std::int64_t steps) {
  options.shard_optimizer = shard;
  const auto gradients = world().duplicate("gradients");
  SmallDenoiser run(options, *gradients);
  run.train(steps);
  return run.state();
}

const std::map<std::string, std::string> clipping{{"generator.clip", "0.1"}, {"discriminator.clip", "0.1"}};

TEST(ShardedMethod, TrainsTheSameGan) {
  std::map<std::string, std::string> options = clipping;
  options.insert({{"gan.historical_average", "1e-2"}, {"gan.d_steps", "2"}, {"gan.gradient_penalty", "1"}});
  const SmallGanOptions gan{.batch = 10, .accumulate = 2, .options = options};
  // Few steps: a GAN magnifies the last digit of the norm that clips.
  const double apart = difference(gan_state(gan, true, 2), gan_state(gan, false, 2));
  if (world().rank() == 0) std::cout << "BigGAN, sharded and not: " << apart << " apart\n";
  EXPECT_LE(apart, bound);
}

TEST(ShardedMethod, TrainsTheSameGanWithLazyRegularisers) {
  std::map<std::string, std::string> options = clipping;
  options.insert({{"gan.path_length", "2"},
                  {"gan.path_length_every", "2"},
                  {"gan.gradient_penalty", "1"},
                  {"gan.gradient_penalty_kind", "r1"},
                  {"gan.gradient_penalty_every", "2"},
                  {"gan.gradient_penalty_apart", "true"}});
  const SmallGanOptions gan{.network = "stylegan2", .batch = 6, .options = options};
  EXPECT_LE(difference(gan_state(gan, true, 4), gan_state(gan, false, 4)), bound);
}

TEST(ShardedMethod, TrainsTheSameDenoiser) {
  const SmallDenoiserOptions denoiser{.batch = 7, .accumulate = 1, .options = {{"denoiser.clip", "0.1"}}};
  const double apart = difference(denoiser_state(denoiser, true, 6), denoiser_state(denoiser, false, 6));
  if (world().rank() == 0) std::cout << "diffusion, sharded and not: " << apart << " apart\n";
  EXPECT_LE(apart, bound);
}

// Nothing is added up in another order: not one bit differs.
TEST(ShardedMethod, TrainsTheSameBitsInBfloat16) {
  const SmallGanOptions gan{.batch = 6, .dtype = at::kFloat, .activations = at::kBFloat16};
  EXPECT_EQ(difference(gan_state(gan, true, 3), gan_state(gan, false, 3)), 0);
  const SmallDenoiserOptions denoiser{.batch = 4, .dtype = at::kFloat, .activations = at::kBFloat16};
  EXPECT_EQ(difference(denoiser_state(denoiser, true, 3), denoiser_state(denoiser, false, 3)), 0);
}

TEST(ShardedMethod, GoesOnAsAnotherBegan) {
  for (const bool first : {true, false}) {
    const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
    SmallGanOptions options{.batch = 6, .options = clipping};
    options.shard_optimizer = first;
    SmallGan begun(options, *gradients, *norms), same(options, *gradients, *norms);
    begun.train(2);
    options.shard_optimizer = !first;
    SmallGan other(options, *gradients, *norms);
    same.continue_from(begun);
    other.continue_from(begun);
    for (SmallGan* run : {&begun, &same, &other}) run->train(2);
    EXPECT_EQ(difference(same.state(), begun.state()), 0);
    EXPECT_LE(difference(other.state(), begun.state()), bound);
  }
}

TEST(ShardedMethod, DrawsWithTheAverageOfAllRanks) {
  const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
  const auto drawn = [&](bool shard) {
    SmallGan run({.batch = 6, .options = {{"generator.ema_start", "0"}}, .shard_optimizer = shard},
                 *gradients, *norms);
    run.train(2);
    return run.method().sampler({.seed = 3})->images(0, at::arange(4, at::kLong));
  };
  const at::Tensor images = drawn(true);
  EXPECT_TRUE(at::allclose(images, drawn(false), 1e-9, 1e-9));
  EXPECT_TRUE(test::equal_on_all_ranks(images));
}

TEST(ShardedMethod, HoldsAnEvenPartAndSendsWhatItSays) {
  const auto run_of = [](bool shard, RecordingCommunicator& gradients, RecordingCommunicator& norms) {
    return std::make_unique<SmallGan>(
        SmallGanOptions{.batch = 6, .options = {{"gan.d_steps", "2"}}, .shard_optimizer = shard}, gradients,
        norms);
  };
  RecordingCommunicator gradients(world()), norms(world()), others(world());
  const auto sharded = run_of(true, gradients, norms), plain = run_of(false, others, others);
  for (std::size_t i = 0; i < 2; ++i) {
    const Player &ours = *sharded->method().players()[i], &theirs = *plain->method().players()[i];
    const std::int64_t arenas = ours.has_average() ? 3 : 2, ranks = world().size();
    const auto arena = static_cast<std::int64_t>(ours.gradient_arena().nbytes()),
               padding = arena - static_cast<std::int64_t>(theirs.gradient_arena().nbytes());
    EXPECT_EQ(theirs.memory_bytes() - ours.memory_bytes() + (2 + arenas) * padding,
              arenas * (arena - arena / ranks));
    if (world().rank() == 0)
      std::cout << ours.name() << ": " << theirs.memory_bytes() << " bytes, sharded " << ours.memory_bytes()
                << '\n';
  }
  sharded->train(1);
  for (RecordingCommunicator* group : {&gradients, &norms}) {
    group->calls.clear();
    group->scatters.clear();
    group->gathers.clear();
  }
  sharded->train(1);
  std::map<std::string, CollectiveCost> told;
  for (const CollectiveCost& cost : sharded->method().costs_per_step(world().size())) {
    CollectiveCost& sum = told[cost.what.starts_with("batch norm") ? cost.what : cost.collectives];
    sum.count += cost.count;
    sum.bytes += cost.bytes;
  }
  const auto expect = [&](const char* what, const std::vector<RecordingCommunicator::Call>& calls) {
    EXPECT_EQ(static_cast<std::int64_t>(calls.size()), told[what].count) << what;
    EXPECT_EQ(RecordingCommunicator::bytes(calls), told[what].bytes) << what;
  };
  expect("all-reduces", gradients.calls);
  expect("reduce-scatters", gradients.scatters);
  expect("all-gathers", gradients.gathers);
  expect("batch norm", norms.calls);
  EXPECT_EQ(gradients.scatters.empty(), world().size() == 1);
}

TEST(ShardedMethod, GrowsAsTheOtherDoes) {
  // From 4 over 8 to 16 pixels; networks of the stages before are taken over, averages too.
  SmallGanOptions growing{.network = "progressive",
                          .batch = 6,
                          .options = {{"gan.loss", "wasserstein"},
                                      {"gan.gradient_penalty", "10"},
                                      {"growth.from", "4"},
                                      {"growth.stable_kimg", "0.018"},
                                      {"growth.fade_kimg", "0.012"},
                                      {"progressive.alpha", "1"},
                                      {"generator.ema_start", "0"},
                                      {"generator.eps", "1e-3"},
                                      {"discriminator.eps", "1e-3"}}};
  growing.options.insert(clipping.begin(), clipping.end());
  EXPECT_LE(difference(gan_state(growing, true, 9), gan_state(growing, false, 9)), bound);
}

}  // namespace
}  // namespace ganymede
