// First stages as a method: the same on any number of ranks, repeatable, resumable, in bfloat16 too.

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/first_stages/autoencoder_method.h"
#include "tests/distributed/world.h"
#include "tests/models/small_translation.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::expect_refused;
using test::same;
using test::SmallTranslation;
using test::SmallTranslationOptions;
using test::world;

using Options = std::map<std::string, std::string>;

constexpr std::int64_t steps = 4;

struct Variant {
  std::string name;
  SmallTranslationOptions options;
};

void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

Variant variant(const std::string& name, const Options& options = {}, std::int64_t accumulate = 1) {
  // Neither 2, 3 nor 4 ranks divide the micro-batch.
  return {name,
          {.method = "autoencoder", .batch = 5 * accumulate, .accumulate = accumulate, .options = options}};
}

const Options vq{{"first_stage.latent", "vq"}};
const Options restarting{{"first_stage.latent", "vq"}, {"reconstruction.restart_every", "1"}};

std::vector<Variant> variants() {
  return {variant("kl"),
          variant("kl_accumulated", {}, 2),
          variant("kl_alone", {{"reconstruction.adversarial", "0"}}),
          variant("kl_alone_accumulated", {{"reconstruction.adversarial", "0"}}, 2),
          variant("l2_without_slopes", {{"reconstruction.distance", "l2"}, {"reconstruction.gradient", "0"}}),
          variant("attention", {{"first_stage.attention", "16"}, {"first_stage.latent_channels", "3"}}),
          variant("lsgan", {{"gan.loss", "lsgan"}, {"autoencoder.clip", "0.1"}}),
          variant("vq", vq),
          variant("vq_accumulated", vq, 2),
          variant("vq_restarting", restarting),
          variant("vq_restarting_accumulated", restarting, 2)};
}

NamedTensors trained_alone(const Options& options) {
  const auto alone = make_single_communicator();
  SmallTranslation run(variant("", options).options, *alone, *alone);
  run.train(steps);
  return run.state();
}

class FirstStages : public testing::TestWithParam<Variant> {};

TEST_P(FirstStages, TrainTheSameOnAnyNumberOfRanks) {
  test::expect_as_on_one_rank(GetParam().options, steps);
}

TEST_P(FirstStages, RepeatAndContinueBitForBit) {
  test::expect_repeats_and_continues(GetParam().options, steps);
}

TEST_P(FirstStages, CostsAreWhatAStepSends) {
  if (GetParam().options.options.contains("reconstruction.adversarial"))
    return;  // they are told with D at work
  test::expect_costs_are_sent(GetParam().options);
}

INSTANTIATE_TEST_SUITE_P(All, FirstStages, testing::ValuesIn(variants()),
                         [](const auto& each) { return each.param.name; });

// The bounds are worth something: each option makes another training of it.
TEST(FirstStageOptions, EachMakesADifference) {
  const NamedTensors plain = trained_alone({}), quantised = trained_alone(vq);
  const auto differs = [](const NamedTensors& from, Options options) {
    return !at::equal(trained_alone(options)[0].second, from[0].second);
  };
  EXPECT_FALSE(differs(plain, {}));
  for (const auto& [option, value] : Options{{"reconstruction.kl", "0"},
                                             {"reconstruction.distance", "l2"},
                                             {"reconstruction.gradient", "0"},
                                             {"reconstruction.adversarial", "0"},
                                             {"reconstruction.adversarial_from", "3"},
                                             {"reconstruction.most_adaptive", "1e-3"},
                                             {"gan.loss", "lsgan"}})
    EXPECT_TRUE(differs(plain, {{option, value}})) << option;
  for (const auto& [option, value] :
       Options{{"reconstruction.commitment", "0"}, {"reconstruction.codebook", "1"}}) {
    Options options = vq;
    options[option] = value;
    // A codebook loss moves the codes, and through them all that is decoded.
    EXPECT_TRUE(!same(trained_alone(options), quantised)) << option;
  }
}

double figure(const Figures& report, const std::string& name) {
  for (const auto& [known, value] : report)
    if (known == name) return test::sum_over_ranks(value);
  throw std::logic_error("no figure " + name);
}

TEST(FirstStageMethods, LearnEightImagesByHeart) {
  for (const char* latent : {"kl", "vq"})
    for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
      SmallTranslation run(
          {.method = "autoencoder",
           .batch = 8,
           .options = {{"first_stage.latent", latent},
                       {"first_stage.codes", "64"},
                       {"first_stage.channels", "16,16"},
                       {"first_stage.latent_channels", "4"},
                       {"reconstruction.kl", "1e-6"},
                       {"reconstruction.restart_every", latent == std::string("vq") ? "5" : "0"},
                       {"reconstruction.adversarial_from", "60"},
                       {"autoencoder.eps", "1e-8"},
                       {"discriminator.eps", "1e-8"},
                       {"autoencoder.lr", "5e-3"}},
           .dtype = at::kFloat,
           .activations = activations,
           .few_images = true},
          world(), world());
      const double first = figure(run.train(1), "reconstruction"),
                   last = figure(run.train(79), "reconstruction");
      if (world().rank() == 0)
        printf("%s%s: reconstruction %.3f -> %.3f\n", latent, activations ? " in bfloat16" : "", first, last);
      EXPECT_LT(last, 0.5 * first) << latent;
    }
}

// A codebook of which little is used: what nothing was nearest to becomes a latent of the batch, without moments.
TEST(Codebooks, UnusedCodesBecomeLatents) {
  SmallTranslationOptions options = variant("", restarting).options;
  options.options["reconstruction.restart_every"] = "3";
  options.options["first_stage.codes"] = "40";
  SmallTranslation run(options, world(), world());
  const auto tensor = [&](const std::string& name) {
    for (const auto& [known, value] : run.state())
      if (known == name) return value;
    throw std::logic_error("no tensor " + name);
  };
  const std::string codes = "quantize.embedding.weight";
  run.train(2);
  const at::Tensor counts = tensor("codebook/state/counts");
  // 5 images of 8 x 8 latents, twice.
  EXPECT_EQ(counts.sum().item<double>(), 640);
  const Figures report = run.train(1);
  EXPECT_EQ(tensor("codebook/state/counts").sum().item<double>(), 0);
  EXPECT_GT(figure(report, "unused_codes"), 0);
  const at::Tensor weight = tensor("autoencoder/weight/" + codes),
                   moment = tensor("autoencoder/adam_v/" + codes),
                   average = tensor("autoencoder/ema/" + codes);
  const at::Tensor restarted = (moment == 0).all(1);
  EXPECT_GE(restarted.sum().item<double>(), figure(report, "unused_codes"));
  EXPECT_TRUE(
      at::equal(weight.masked_select(restarted.unsqueeze(1)), average.masked_select(restarted.unsqueeze(1))));
  // Now many of them are used.
  const double before = figure(report, "codes");
  EXPECT_GT(figure(run.train(1), "codes"), before);
}

TEST(Reconstructions, AreOfTheirImageAlone) {
  const auto alone = make_single_communicator();
  for (const char* latent : {"kl", "vq"}) {
    SmallTranslation run(variant("", {{"first_stage.latent", latent}}).options, *alone, *alone);
    run.train(2);
    const NamedTensors before = run.state();
    SampleOptions options{.seed = 3};
    EXPECT_THROW(run.method().sampler(options)->images(0, at::zeros({2}, at::kLong)), Error);
    options.sources = [&](std::int64_t first, std::int64_t count) { return run.targets(first, count); };
    const auto sampler = run.method().sampler(options);
    const at::Tensor all = sampler->images(0, at::zeros({5}, at::kLong)),
                     part = sampler->images(3, at::zeros({2}, at::kLong));
    EXPECT_LE((all.narrow(0, 3, 2) - part).abs().max().item<double>(), 1e-6);
    EXPECT_TRUE(all.abs().le(1).all().item<bool>());
    EXPECT_EQ(all.sizes(), run.targets(0, 5).sizes());
    EXPECT_TRUE(same(before, run.state()));
  }
}

TEST(FirstStageOptions, ThatDoNotFitTogetherAreRefused) {
  const auto refused = [](const Options& options, const std::string& what) {
    expect_refused(what, [&] {
      test::small_translation_recipe({.method = "autoencoder", .batch = 6, .options = options});
    });
  };
  refused({{"first_stage.groups", "3"}}, "first_stage.groups = 3");
  refused({{"first_stage.resolution", "17"}}, "first_stage.resolution = 17");
  refused({{"first_stage.attention", "5"}}, "first_stage.attention = 5");
  refused({{"first_stage.latent", "nonesuch"}}, "first_stage.latent");
  refused({{"reconstruction.restart_every", "5"}}, "reconstruction.restart_every = 5");
  refused({{"reconstruction.patch_layers", "4"}}, "reconstruction.patch_layers = 4");
  refused({{"reconstruction.lpips", "vgg.pth"}}, "these have 2");
  refused({{"reconstruction.lpips", "vgg.pth"},
           {"first_stage.image_channels", "3"},
           {"first_stage.resolution", "8"}},
          "16 pixels");
  refused({{"gan.loss", "wasserstein"}}, "slope");
  refused({{"autoencoder.decay", "linear"}}, "autoencoder.decay_until");
}

TEST(FirstStageRecipes, SayWhatStandsInForLpips) {
  const auto recipe = test::small_translation_recipe({.method = "autoencoder"});
  ASSERT_EQ(recipe->warnings(100).size(), 1u);
  EXPECT_NE(recipe->warnings(100)[0].find("L1 and the difference of slopes, not LPIPS"), std::string::npos);
  EXPECT_EQ(recipe->images().sources, SourceImages::own);
}

TEST(AutoencoderMethod, ASkippedUpdateChangesNothing) {
  for (Variant each : {variant("kl"), variant("vq", vq), variant("vq_restarting", restarting)})
    for (const auto activations : {std::optional<at::ScalarType>{}, {at::kHalf}}) {
      SCOPED_TRACE(each.name);
      each.options.dtype = at::kFloat;
      each.options.activations = activations;
      each.options.options["reconstruction.adversarial_from"] = "1";
      test::expect_skipping_changes_nothing(SmallTranslation(each.options, world(), world()));
    }
}

}  // namespace
}  // namespace ganymede
