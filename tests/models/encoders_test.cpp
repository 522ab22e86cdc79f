// GANs with an encoder: each method the same on any number of ranks, repeatable, resumable, in half precision too.

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "models/encoders/projection_networks.h"
#include "models/latent_images.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::same;
using test::SmallGan;
using test::SmallGanOptions;
using test::world;

using Options = std::map<std::string, std::string>;

struct Case {
  std::string name, method;
  Options options = {};
  std::int64_t accumulate = 1;
  std::string network = "dcgan";
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.name;
}

const std::vector<Case> cases{
    {"bigan", "bigan"},
    {"bigan_accumulated", "bigan", {}, 2},
    {"ali", "bigan", {{"bigan.posterior", "gaussian"}}},
    {"bigan_fully_connected",
     "bigan",
     {{"encoders.network", "fully_connected"}, {"fully_connected.conditioning", "none"}},
     1,
     "fully_connected"},
    {"bigan_spectral_norm", "bigan", {{"sngan.conditioning", "none"}}, 1, "sngan"},
    {"vae_gan", "vae_gan"},
    {"vae_gan_accumulated", "vae_gan", {{"vae_gan.gamma", "0.5"}, {"vae_gan.prior", "0.3"}}, 2},
    {"vae_gan_of_classes", "vae_gan", {{"dcgan.conditioning", "concatenation"}, {"dcgan.classes", "5"}}},
    {"vae_gan_of_styles", "vae_gan", {{"stylegan2.style_mixing", "0"}}, 1, "stylegan2"},
    {"adversarial_autoencoder", "adversarial_autoencoder"},
    {"adversarial_autoencoder_accumulated", "adversarial_autoencoder", {}, 2},
    {"adversarial_autoencoder_gaussian",
     "adversarial_autoencoder",
     {{"adversarial_autoencoder.posterior", "gaussian"}}},
    {"adversarial_autoencoder_of_classes",
     "adversarial_autoencoder",
     {{"dcgan.conditioning", "generator"}, {"dcgan.classes", "5"}},
     2},
    {"adversarial_autoencoder_fully_connected",
     "adversarial_autoencoder",
     {{"encoders.network", "fully_connected"}, {"fully_connected.conditioning", "generator"}},
     1,
     "fully_connected"},
};

SmallGanOptions setting(const Case& each) {
  // Neither 2, 3 nor 4 ranks divide the micro-batch, but where groups of three must.
  const std::int64_t micro_batch = each.network == "stylegan2" ? 6 : 5;
  SmallGanOptions options{
      .network = each.network, .batch = micro_batch * each.accumulate, .accumulate = each.accumulate};
  options.method = each.method;
  options.options = {
      {"encoders.channels", "4"},
      {"encoders.widths", "9, 8"},
      {"encoders.latent_widths", "7"},
      {"encoders.joint_widths", "6"},
      {"encoder.lr", "1e-4"},
      {"encoder.ema", "0.9"},
      // Where a true gradient is zero, Adam's eps of everyday makes steps of its rounding errors.
      {"encoder.eps", "1e-3"},
      {"generator.eps", "1e-3"},
      {"discriminator.eps", "1e-3"}};
  if (each.network == "dcgan" || each.network == "fully_connected")
    options.options[each.network + ".latent_distribution"] = "normal";
  for (const auto& [key, value] : each.options) options.options[key] = value;
  return options;
}

constexpr std::int64_t steps = 3;

class Encoders : public testing::TestWithParam<Case> {};

TEST_P(Encoders, TrainTheSameOnAnyNumberOfRanks) {
  const SmallGanOptions options = setting(GetParam());
  SmallGan run(options, world(), world());
  run.train(steps);
  const NamedTensors state = run.state();
  for (const auto& [name, tensor] : state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
  double worst = 0;
  std::string where;
  if (world().rank() == 0 && world().size() > 1) {
    const auto one = make_single_communicator();
    SmallGan reference(options, *one, *one);
    reference.train(steps);
    worst = test::difference(state, reference.state(), where);
  }
  EXPECT_TRUE(test::everywhere(worst <= 1e-9)) << where << " is off by " << worst;
}

TEST_P(Encoders, RepeatAndContinueBitForBit) {
  const SmallGanOptions options = setting(GetParam());
  SmallGan run(options, world(), world()), again(options, world(), world()),
      continued(options, world(), world());
  run.train(steps - 1);
  continued.continue_from(run);
  run.train(1);
  continued.train(1);
  again.train(steps);
  EXPECT_TRUE(test::everywhere(same(run.state(), again.state())));
  EXPECT_TRUE(test::everywhere(same(run.state(), continued.state())));
}

TEST_P(Encoders, CostsAreWhatAStepSends) {
  RecordingCommunicator gradients(world()), norms(world());
  SmallGan run(setting(GetParam()), gradients, norms);
  run.train(1);
  CollectiveCost reduced, mixed;
  for (const CollectiveCost& cost : run.method().costs_per_step(world().size())) {
    CollectiveCost& sum = cost.what.ends_with(" gradients") ? reduced : mixed;
    sum.count += cost.count;
    sum.bytes += cost.bytes;
  }
  EXPECT_EQ(std::ssize(gradients.calls), reduced.count);
  EXPECT_EQ(gradients.bytes(), reduced.bytes);
  EXPECT_GE(reduced.count, 3);
  EXPECT_EQ(std::ssize(norms.calls), mixed.count);
  EXPECT_EQ(norms.bytes(), mixed.bytes);
}

TEST_P(Encoders, LearnWithAllPlayersFromOneBatch) {
  SmallGan run(setting(GetParam()), world(), world());
  const NamedTensors before = run.state();
  run.train(1);
  EXPECT_EQ(run.method().batches_per_step(), 1);
  const NamedTensors after = run.state();
  std::map<std::string, bool> moved;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string& name = before[i].first;
    const std::size_t end = name.find("/weight/");
    if (end != name.npos) moved[name.substr(0, end)] |= !at::equal(before[i].second, after[i].second);
  }
  EXPECT_EQ(moved,
            (std::map<std::string, bool>{{"discriminator", true}, {"encoder", true}, {"generator", true}}));
}

TEST_P(Encoders, TrainInBFloat16) {
  const auto figures = [&](std::optional<at::ScalarType> activations) {
    SmallGanOptions options = setting(GetParam());
    options.dtype = at::kFloat;
    options.activations = activations;
    SmallGan run(options, world(), world());
    std::vector<double> values;
    for (int step = 0; step < 10; ++step)
      for (const auto& [name, figure] : run.train(1))
        if (name.starts_with("loss_")) values.push_back(test::sum_over_ranks(figure));
    return values;
  };
  const std::vector<double> full = figures(std::nullopt), half = figures(at::kBFloat16);
  ASSERT_EQ(full.size(), half.size());
  EXPECT_NE(full, half) << "bfloat16 was not used";
  for (std::size_t i = 0; i < full.size(); ++i)
    EXPECT_NEAR(half[i], full[i], 0.1 * std::max(1.0, std::abs(full[i])));
}

TEST_P(Encoders, DrawFromThePriorAndOfLatents) {
  SmallGan run(setting(GetParam()), world(), world());
  run.train(1);
  const NamedTensors before = run.state();
  const auto sampler = run.method().sampler({.seed = 3});
  const at::Tensor labels = at::zeros({3}, at::kLong);
  auto& latents = dynamic_cast<LatentImages&>(*sampler);
  const at::Tensor z = latents.latents(2, 3);
  EXPECT_LT(z.abs().max().item<double>(), 6);
  const at::Tensor images = latents.images_of(z, labels);
  if (GetParam().network != "stylegan2") {  // whose noise is drawn
    EXPECT_LE((sampler->images(2, labels) - images).abs().max().item<double>(), 1e-6);
  }
  const auto networks = run.method().projection({});
  ASSERT_NE(networks, nullptr);
  EXPECT_TRUE(networks->has_encoder());
  const at::Tensor code = networks->encoded(images);
  EXPECT_EQ(code.sizes(), z.sizes());
  EXPECT_LE((networks->images(z, labels).to(at::kFloat) - images).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(same(before, run.state()));
}

INSTANTIATE_TEST_SUITE_P(All, Encoders, testing::ValuesIn(cases),
                         [](const auto& each) { return each.param.name; });

TEST(EncoderMethods, AreAllTried) {
  std::set<std::string> tried, encode;
  for (const Case& each : cases) tried.insert(each.method);
  for (const std::string& name : method_names()) {
    OptionSchema schema;
    make_method_recipe(name, {})->describe(schema);
    if (std::ranges::count(schema.keys(), "encoders.network") > 0) encode.insert(name);
  }
  EXPECT_EQ(tried, encode);
}

// Of the same encoder and data, three losses.
TEST(EncoderMethods, AreNotTheSame) {
  const auto weights = [](const Case& each) {
    SmallGan run(setting(each), world(), world());
    run.train(1);
    return run.method().players()[0]->weights(false).front().second.detach().clone();
  };
  const at::Tensor bigan = weights(cases[0]), ali = weights(cases[2]), vae_gan = weights(cases[5]),
                   autoencoder = weights(cases[9]);
  EXPECT_FALSE(at::equal(bigan, ali));
  EXPECT_FALSE(at::equal(bigan, vae_gan));
  EXPECT_FALSE(at::equal(vae_gan, autoencoder));
}

TEST(EncoderMethods, ASkippedUpdateChangesNothing) {
  // In float16, of methods of one phase: the scale has come down in a second one.
  for (const auto& [index, activations] :
       {std::pair<std::size_t, std::optional<at::ScalarType>>{0, at::kHalf}, {6, at::kHalf}, {0, {}}, {6, {}}}) {
    SCOPED_TRACE(cases[index].name);
    SmallGanOptions options = setting(cases[index]);
    options.dtype = at::kFloat;
    options.activations = activations;
    test::expect_skipping_changes_nothing(SmallGan(options, world(), world()));
  }
}

TEST(EncoderMethods, RefuseWhatDoesNotFitTogether) {
  const auto refuses = [](const Case& each, const std::string& word) {
    try {
      SmallGan(setting(each), world(), world());
    } catch (const Error& error) {
      return error.code() == ExitCode::options && std::string(error.what()).find(word) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(
      refuses({"", "bigan", {{"dcgan.latent_distribution", "uniform"}}}, "dcgan.latent_distribution"));
  EXPECT_TRUE(refuses({"", "bigan", {{"dcgan.conditioning", "generator"}, {"dcgan.classes", "5"}}}, "class"));
  for (const char* method : {"bigan", "vae_gan", "adversarial_autoencoder"})
    EXPECT_TRUE(refuses({"", method, {{"dcgan.conditioning", "text"}}}, "dcgan.conditioning = none"))
        << method;
  EXPECT_TRUE(refuses({"", "bigan", {{"bigan.posterior", "laplacian"}}}, "gaussian"));
  EXPECT_TRUE(refuses({"", "bigan", {{"encoders.network", "transformer"}}}, "fully_connected"));
  EXPECT_TRUE(refuses({"", "bigan", {{"encoders.joint_widths", ""}}}, "encoders.joint_widths"));
  EXPECT_TRUE(refuses({"", "bigan", {{"encoder.decay", "linear"}}}, "encoder.decay_until"));
  EXPECT_TRUE(refuses({"", "bigan", {{"vae_gan.gamma", "1"}}}, "vae_gan.gamma"));
  EXPECT_TRUE(refuses({"", "vae_gan", {{"vae_gan.gamma", "-1"}}}, "vae_gan.gamma"));
  EXPECT_TRUE(refuses({"", "vae_gan", {}, 1, "autoencoding"}, "features"));
  EXPECT_TRUE(refuses({"", "vae_gan", {{"fully_connected.conditioning", "none"}}, 1, "fully_connected"},
                      "at least 8"));
  EXPECT_TRUE(refuses({"", "vae_gan", {{"stylegan2.style_mixing", "0.5"}}, 1, "stylegan2"}, "style_mixing"));
}

}  // namespace
}  // namespace ganymede
