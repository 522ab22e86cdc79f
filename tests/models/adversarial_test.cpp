#include "models/gan/adversarial.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::SmallGan;
using test::SmallGanOptions;
using test::world;

TEST(AdversarialMethod, CostsAreWhatAStepSends) {
  for (const SmallGanOptions& options :
       {SmallGanOptions{.batch = 5},
        SmallGanOptions{.batch = 12,
        .accumulate = 3,
        .options = {{"gan.d_steps", "2"}, {"gan.batch_norm_group", "2"}, {"gan.gradient_penalty", "10"}}},
        SmallGanOptions{.batch = 8,
        .accumulate = 2,
        .options = {{"gan.d_steps", "2"},
                    {"gan.loss", "relativistic_average"},
                    {"gan.lecam", "1"},
                    {"gan.zcr_d", "1"},
                    {"gan.zcr_g", "1"}}},
        SmallGanOptions{.batch = 5, .options = {{"gan.top_k", "0.5"}}},
        SmallGanOptions{.network = "autoencoding", .batch = 5, .options = {{"gan.loss", "ebgan"}}},
        SmallGanOptions{.network = "autoencoding", .batch = 4, .options = {{"gan.loss", "began"}}},
        SmallGanOptions{.batch = 5, .options = {{"gan.feature_matching", "1"}}},
        SmallGanOptions{
            .network = "dcgan", .batch = 5, .options = {{"gan.cr_real", "1"}, {"gan.zcr_d", "1"}}},
        SmallGanOptions{.network = "dcgan",
        .batch = 6,
        .options = {{"gan.gradient_penalty", "10"},
                    {"gan.loss", "relativistic"},
                    {"gan.batch_norm_group", "3"}}},
        SmallGanOptions{.network = "dcgan",
        .batch = 8,
        .accumulate = 2,
        .options = {{"dcgan.variant", "counted"}, {"gan.cr_fake", "1"}}},
        SmallGanOptions{.network = "dcgan",
        .batch = 5,
        .options = {{"gan.gradient_penalty", "10"}, {"dcgan.minibatch_kernels", "3"}}},
        SmallGanOptions{.network = "dcgan",
        .batch = 8,
        .accumulate = 2,
        .options = {{"gan.auxiliary", "acgan"},
                    {"gan.feature_matching", "1"},
                    {"dcgan.classes", "5"},
                    {"dcgan.conditioning", "generator"},
                    {"dcgan.generator_norm", "virtual"},
                    {"dcgan.minibatch_kernels", "2"},
                    {"dcgan.minibatch_group", "2"}}},
        SmallGanOptions{.network = "stylegan", .batch = 6, .options = {{"gan.d_steps", "2"}}},
        SmallGanOptions{.network = "stylegan2", .batch = 6, .options = {{"gan.d_steps", "2"}}},
        SmallGanOptions{.network = "stylegan2",
        .batch = 12,
        .accumulate = 2,
        .options = {{"gan.d_steps", "2"},
                    {"gan.path_length", "2"},
                    {"gan.path_length_every", "1"},
                    {"gan.gradient_penalty", "1"},
                    {"gan.gradient_penalty_kind", "r1"},
                    {"gan.gradient_penalty_apart", "true"},
                    {"ada.geometry", "true"}}},
        SmallGanOptions{.network = "dcgan",
        .batch = 12,
        .accumulate = 2,
        .options = {{"gan.d_steps", "2"},
                    {"gan.loss", "relativistic_average"},
                    {"dcgan.conditioning", "text"},
                    {"text.embedding", "5"},
                    {"text.interpolation", "0.5"}}},
        SmallGanOptions{.network = "progressive", .batch = 6, .options = {{"gan.gradient_penalty", "10"}}}}) {
    RecordingCommunicator gradients(world()), norms(world());
    SmallGan run(options, gradients, norms);
    run.train(1);
    gradients.calls.clear();
    norms.calls.clear();
    run.train(1);
    CollectiveCost reduced, normalised;
    for (const CollectiveCost& cost : run.method().costs_per_step(world().size())) {
      CollectiveCost& sum = cost.what.ends_with(" gradients") ? reduced : normalised;
      sum.count += cost.count;
      sum.bytes += cost.bytes;
    }
    EXPECT_EQ(static_cast<std::int64_t>(gradients.calls.size()), reduced.count);
    EXPECT_EQ(gradients.bytes(), reduced.bytes);
    EXPECT_GT(reduced.count, 2);
    EXPECT_EQ(static_cast<std::int64_t>(norms.calls.size()), normalised.count);
    EXPECT_EQ(norms.bytes(), normalised.bytes);
  }
}

at::Tensor loss_scales(SmallGan& run) {
  std::vector<at::Tensor> figures;
  for (const Player* player : run.method().players())
    figures.push_back(player->guard().figures().clone());
  return at::stack(figures);
}

void set_scales(SmallGan& run, double value) {
  for (const Player* player : run.method().players())
    for (const auto& [name, tensor] : player->state())
      if (name.ends_with("/guard/scale")) at::Tensor(tensor).fill_(value);
}

// So small that nothing overflows.
constexpr double small_scale = 256;

// Gradients and weights are float32 either way: only the maps between convolutions are rounded.
TEST(AdversarialMethod, LossesInHalfPrecisionFollowThoseInFloat) {
  constexpr int steps = 20;
  const auto losses = [](std::optional<at::ScalarType> activations) {
    SmallGan run({.dtype = at::kFloat, .activations = activations}, world(), world());
    set_scales(run, small_scale);
    std::vector<double> values;
    for (int step = 0; step < steps; ++step)
      for (const auto& [name, figure] : run.train(1))
        if (name == "loss_d" || name == "loss_g") values.push_back(test::sum_over_ranks(figure));
    if (activations == at::kHalf) {
      EXPECT_EQ(loss_scales(run).select(1, 1).max().item<double>(), 0) << "updates were skipped";
    }
    return values;
  };
  const std::vector<double> full = losses(std::nullopt);
  ASSERT_EQ(full.size(), 2u * steps);
  for (const auto& [type, bound] : {std::pair{at::kBFloat16, 0.1}, {at::kHalf, 0.02}}) {
    const std::vector<double> half = losses(type);
    double largest = 0;
    for (std::size_t i = 0; i < full.size(); ++i)
      largest = std::max(largest, std::abs(half[i] - full[i]) / std::max(1.0, std::abs(full[i])));
    RecordProperty(fmt::format("largest_difference_{}", c10::toString(type)), fmt::format("{:.4f}", largest));
    EXPECT_LT(largest, bound) << c10::toString(type) << ", of losses up to "
                              << *std::ranges::max_element(full);
    EXPECT_GT(largest, 0) << c10::toString(type) << " was not used";
  }
}

const SmallGanOptions float16{.batch = 8,
                              .accumulate = 2,
                              .options = {{"gan.gradient_penalty", "10"}, {"gan.loss", "wasserstein"}},
                              .dtype = at::kFloat,
                              .activations = at::kHalf};

void expect_that_skipping_changes_nothing(const SmallGanOptions& options) {
  SmallGan run(options, world(), world());
  for (const auto& [name, memory] : run.method().state()) at::Tensor(memory).fill_(0.5);
  test::expect_skipping_changes_nothing(std::move(run));
}

TEST(AdversarialMethod, ASkippedUpdateChangesNothing) {
  expect_that_skipping_changes_nothing(float16);
  SmallGanOptions remembering = float16;
  remembering.options["gan.loss"] = "hinge";  // ADA follows the signs of logits
  remembering.options.insert({{"ada.color", "true"},
                              {"ada.every", "1"},
                              {"gan.lecam", "0.3"},
                              {"gan.historical_average", "0.1"},
                              {"gan.weight_clip", "0.01"}});
  expect_that_skipping_changes_nothing(remembering);
  SmallGanOptions balancing = float16;
  balancing.network = "autoencoding";
  balancing.options = {{"gan.loss", "began"}};
  expect_that_skipping_changes_nothing(balancing);
  SmallGanOptions apart = float16;
  apart.network = "stylegan2";
  apart.batch = 12;
  apart.options = {{"stylegan2.resolution", "8"},
                   {"gan.path_length", "2"},
                   {"gan.path_length_every", "1"},
                   {"gan.gradient_penalty", "1"},
                   {"gan.gradient_penalty_kind", "r1"},
                   {"gan.gradient_penalty_every", "1"},
                   {"gan.gradient_penalty_apart", "true"}};
  expect_that_skipping_changes_nothing(apart);
  for (SmallGanOptions options : {float16, remembering, balancing}) {
    options.activations.reset();
    options.options.erase("gan.historical_average");  // would keep the weight that is not a number
    expect_that_skipping_changes_nothing(options);
  }
}

// From the largest scale each player comes down to one that fits, where it learns.
TEST(AdversarialMethod, InFloat16RanksFindTheirScaleTogether) {
  SmallGan run(float16, world(), world());
  set_scales(run, UpdateGuard::largest);
  run.train(16);
  const at::Tensor scales = loss_scales(run), skipped = scales.select(1, 1);
  EXPECT_GT(skipped.min().item<double>(), 1);
  EXPECT_LT(skipped.max().item<double>(), 16);
  EXPECT_TRUE(test::equal_on_all_ranks(scales));
  for (const auto& [name, tensor] : run.state()) {
    EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
  }
}

// Up to float16's rounding: the maps' batches are cut elsewhere. (At the border of overflow the cut decides.)
TEST(AdversarialMethod, InFloat16RanksComputeWhatOneWould) {
  const auto alone = make_single_communicator();
  const auto train = [](Communicator& ranks) {
    SmallGan run(float16, ranks, ranks);
    set_scales(run, small_scale);
    return run.train(10);
  };
  const Figures figures = train(world()), expected = train(*alone);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(test::sum_over_ranks(figures[i].second), expected[i].second,
                0.02 * (1 + std::abs(expected[i].second)))
        << expected[i].first;
}

TEST(AdversarialMethod, StepsCountTheBatchesTheyTake) {
  SmallGan run({.options = {{"gan.d_steps", "3"}}}, world(), world());
  EXPECT_EQ(run.method().batches_per_step(), 3);
}

// The discriminator's phase leaves G's weights, the generator's leaves D's.
TEST(AdversarialMethod, EachPhaseMovesItsOwnPlayer) {
  SmallGan run({.batch = 4}, world(), world());
  const auto weights = [&](std::size_t player) {
    std::vector<at::Tensor> copies;
    for (const auto& [name, tensor] : run.method().players()[player]->weights(false))
      copies.push_back(tensor.detach().flatten().clone());
    return at::cat(copies);
  };
  const at::Tensor g = weights(0), d = weights(1);
  at::Tensor d_after_its_phase;
  bool g_still = false;
  run.method().observe = [&](std::string_view name, const at::Tensor&) {
    if (name != "generator.loss") return;
    g_still = at::equal(g, weights(0));
    d_after_its_phase = weights(1);
  };
  run.train(1);
  EXPECT_TRUE(g_still);
  EXPECT_FALSE(at::equal(d, d_after_its_phase));
  EXPECT_TRUE(at::equal(d_after_its_phase, weights(1)));
  EXPECT_FALSE(at::equal(g, weights(0)));
}

// Batch statistics in sampling are those of as many images as in training.
TEST(AdversarialMethod, SamplesInTheGroupsItTrainsIn) {
  const auto group = [](const SmallGanOptions& options) {
    SmallGan run(options, world(), world());
    return run.method().sampler({.batch_norm = "batch"})->granularity();
  };
  EXPECT_EQ(group({.batch = 8}), 8);
  EXPECT_EQ(group({.batch = 8, .accumulate = 2}), 4);
  EXPECT_EQ(group({.batch = 8, .accumulate = 2, .options = {{"gan.batch_norm_group", "2"}}}), 2);
}

// Long steps make marks on the way, so that the watchdog does not take them for a hang.
TEST(AdversarialMethod, IsAliveInEachMicroStep) {
  std::map<std::string, int> marks;
  SmallGanOptions options{.batch = 8, .accumulate = 2, .options = {{"gan.d_steps", "3"}}};
  options.alive = [&](std::string_view activity) { ++marks[std::string(activity)]; };
  SmallGan(options, world(), world()).train(1);
  EXPECT_EQ(marks["discriminator update"], 6);
  EXPECT_EQ(marks["generator update"], 2);
}

// After a roll-back the same steps see other noise.
TEST(AdversarialMethod, ReseedingChangesTheNoise) {
  const auto z_of = [](std::uint64_t reseed) {
    SmallGanOptions options{.batch = 4};
    options.reseed = reseed;
    SmallGan run(options, world(), world());
    at::Tensor z;
    run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
      if (name == "generator.z") z = tensor.clone();
    };
    run.train(1);
    return z;
  };
  EXPECT_TRUE(at::equal(z_of(1), z_of(1)));
  EXPECT_FALSE(at::equal(z_of(0), z_of(1)));
}

// What comes every few steps is spread over them: on average it is what is sent.
TEST(AdversarialMethod, CostsOfLazyUpdatesAreSpread) {
  RecordingCommunicator gradients(world()), norms(world());
  SmallGan run({.network = "stylegan2",
                .batch = 6,
                .options = {{"gan.path_length", "2"},
                            {"gan.path_length_every", "2"},
                            {"gan.gradient_penalty", "1"},
                            {"gan.gradient_penalty_kind", "r1"},
                            {"gan.gradient_penalty_every", "2"},
                            {"gan.gradient_penalty_apart", "true"}}},
               gradients, norms);
  run.train(1);
  const std::size_t with = std::exchange(gradients.calls, {}).size();
  run.train(1);
  EXPECT_EQ(with, 2 * gradients.calls.size()) << "each player's second update";
  std::int64_t expected = 0;
  for (const CollectiveCost& cost : run.method().costs_per_step(world().size()))
    if (cost.what.ends_with(" gradients")) expected += cost.count;
  EXPECT_NEAR(static_cast<double>(with + gradients.calls.size()) / 2, static_cast<double>(expected), 1);
}

// A regulariser's update moves its player's weights, as lazy regularisation's rate has it, and no average.
TEST(AdversarialMethod, UpdatesOfRegularisersLeaveTheAverages) {
  SmallGan run({.network = "stylegan2",
                .batch = 6,
                .options = {{"gan.path_length", "2"},
                            {"gan.gradient_penalty", "1"},
                            {"gan.gradient_penalty_kind", "r1"},
                            {"gan.gradient_penalty_every", "16"},
                            {"gan.gradient_penalty_apart", "true"},
                            {"generator.lr", "1e-3"},
                            {"generator.ema_start", "0"},
                            {"discriminator.lr", "1e-3"}}},
               world(), world());
  const Player &g = *run.method().players()[0], &d = *run.method().players()[1];
  const auto weight = [&](bool average) { return g.weights(average)[1].second.detach().clone(); };
  const at::Tensor start = weight(false);
  at::Tensor first;
  run.method().observe = [&](std::string_view name, const at::Tensor&) {
    if (name.starts_with("generator.gradient.")) first = weight(false);  // the last: before the second update
  };
  run.train(1);
  EXPECT_FALSE(at::equal(first, weight(false)));
  EXPECT_LT((weight(true) - at::lerp(start, first, 0.1)).abs().max().item<double>(), 1e-15);
  EXPECT_EQ(g.updates(), 2);
  EXPECT_EQ(d.updates(), 2);
  EXPECT_NEAR(g.learning_rate(), 1e-3 * 4 / 5, 1e-12);
  EXPECT_NEAR(d.learning_rate(), 1e-3 * 16 / 17, 1e-12);
  run.train(1);
  EXPECT_EQ(g.updates(), 3);
  EXPECT_EQ(d.updates(), 3);
}

TEST(AdversarialMethod, RefusesGroupsThatDoNotDivideTheMicroBatch) {
  EXPECT_THROW(SmallGan({.batch = 8, .options = {{"gan.batch_norm_group", "3"}}}, world(), world()), Error);
}

}  // namespace
}  // namespace ganymede
