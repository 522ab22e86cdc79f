// Denoising diffusion as a method: the same on any number of ranks, repeatable, resumable, in bfloat16 too.

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/error.h"
#include "core/power_profile.h"
#include "models/denoising_path.h"
#include "models/latent_images.h"
#include "tests/distributed/world.h"
#include "tests/models/denoiser_suite.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::expect_learns_by_heart;
using test::expect_refused;
using test::expect_repeats_and_resumes;
using test::expect_same_run;
using test::SmallDenoiser;

using Options = std::map<std::string, std::string>;

TEST(DenoisingRankInvariance, OfAnAwkwardBatchWithDropout) {
  expect_same_run({.batch = 7});
}
TEST(DenoisingRankInvariance, WithAccumulationAndMinSnr) {
  expect_same_run({.batch = 10,
                   .accumulate = 2,
                   .options = {{"ddpm.schedule", "cosine"},
                               {"ddpm.prediction", "v"},
                               {"ddpm.min_snr", "5"},
                               {"unet.scale_shift", "true"},
                               {"unet.residual_resampling", "true"}}});
}
TEST(DenoisingRankInvariance, WithLearnedVarianceAndL1) {
  expect_same_run({.batch = 5, .options = {{"ddpm.learned_variance", "true"}, {"diffusion.loss", "l1"}}});
}
TEST(DenoisingRankInvariance, OfEdm) {
  expect_same_run({.batch = 5, .options = {{"diffusion.process", "edm"}, {"denoiser.clip", "0.1"}}});
}
TEST(DenoisingRankInvariance, OfFlowMatchingWithATransformer) {
  expect_same_run({.batch = 5, .options = {{"diffusion.process", "flow"}, {"diffusion.network", "dit"}}});
}
const Options of_ddpmpp{
    {"diffusion.network", "ddpmpp"}, {"diffusion.process", "edm"}, {"diffusion.augment", "0.5"}};
TEST(DenoisingRankInvariance, OfDdpmppWithAugmentation) {
  expect_same_run({.batch = 10, .accumulate = 2, .options = of_ddpmpp});
}

const Options with_sources{{"diffusion.source_channels", "1"}, {"diffusion.source_dropout", "0.5"}};
const std::map<std::string, std::string> with_power_averages{{"diffusion.network", "dit"},
                                                             {"denoiser.ema_power", "0.05, 0.2"}};
TEST(DenoisingRankInvariance, WithPowerAverages) {
  expect_same_run({.batch = 5, .options = with_power_averages});
}

TEST(DenoisingWithPowerAverages, TheyAreMeansOfTheWeightsSoFar) {
  const auto group = test::world().duplicate("gradients");
  SmallDenoiser run({.options = with_power_averages}, *group);
  std::map<std::string, at::Tensor> sums;
  constexpr std::int64_t updates = 5;
  const double power = power_exponent(0.2) + 1;
  for (std::int64_t t = 1; t <= updates; ++t) {
    run.train(1);
    const auto now = static_cast<double>(t), end = static_cast<double>(updates);
    const double share = std::pow(now / end, power) - std::pow((now - 1) / end, power);
    for (const auto& [name, weight] : run.player().weights(false)) {
      at::Tensor& sum = sums["denoiser/ema_power_0.2/" + name];
      sum = sum.defined() ? sum + weight * share : weight * share;
    }
  }
  std::int64_t found = 0;
  double worst = 0;
  for (const auto& [name, average] : run.method().state())
    if (const auto expected = sums.find(name); expected != sums.end()) {
      ++found;
      worst = std::max(worst, (average - expected->second).abs().max().item<double>());
    }
  EXPECT_EQ(found, std::ssize(sums));
  EXPECT_LT(worst, 1e-14);
}

TEST(DenoisingWithPowerAverages, RepeatsAndResumesBitForBit) {
  expect_repeats_and_resumes(with_power_averages);
}

TEST(DenoisingRankInvariance, WithSources) {
  expect_same_run({.batch = 10, .accumulate = 2, .options = with_sources});
}
TEST(DenoisingRankInvariance, OfATransformerWithSources) {
  expect_same_run(
      {.batch = 5, .options = {{"diffusion.network", "dit"}, {"diffusion.source_channels", "3"}}});
}

TEST(DenoisingWithSources, SeesThemBesideTheNoisyImage) {
  const auto alone = make_single_communicator();
  SmallDenoiser run({.batch = 40, .options = with_sources, .few_images = true}, *alone);
  std::map<std::string, at::Tensor, std::less<>> shown;
  run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
    shown[std::string(name)] = tensor.detach().clone();
  };
  const double loss = run.train(1)[0];
  // What the network sees, by the schedule's definition: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.
  const at::Tensor bar = (1 - at::linspace(1e-4, 0.02, 1000, at::kDouble))
                             .cumprod(0)
                             .index_select(0, shown["denoiser.times"].to(at::kLong));
  const at::Tensor noisy = bar.sqrt().view({-1, 1, 1, 1}) * shown["denoiser.x0"] +
                           (1 - bar).sqrt().view({-1, 1, 1, 1}) * shown["denoiser.eps"];
  const at::Tensor input = shown["denoiser.input"];
  EXPECT_EQ(input.sizes(), (at::IntArrayRef{40, 3, 8, 8}));
  EXPECT_LE((input.narrow(1, 0, 2) - noisy).abs().max().item<double>(), 1e-12);
  const at::Tensor source = input.narrow(1, 2, 1), expected = run.sources(0, 40);
  const at::Tensor whole = (source == expected).flatten(1).all(1), left_out = (source == 0).flatten(1).all(1);
  EXPECT_TRUE(whole.logical_xor(left_out).all().item<bool>());
  EXPECT_NEAR(left_out.to(at::kDouble).mean().item<double>(), 0.5, 0.2);
  // Labels are left out more rarely (0.3), and only with the source.
  const at::Tensor unlabelled = shown["denoiser.labels"] == SmallDenoiser::classes;
  EXPECT_GT(unlabelled.sum().item<std::int64_t>(), 0);
  EXPECT_TRUE(unlabelled.logical_and(left_out).eq(unlabelled).all().item<bool>());
  const double error = (shown["denoiser.output"] - shown["denoiser.eps"]).square().mean().item<double>();
  EXPECT_NEAR(loss, error, 1e-12);
}

TEST(DenoisingWithSources, ASampleDependsOnItsOwn) {
  const auto alone = make_single_communicator();
  Options options = with_sources;
  options.insert({{"sampler.guidance", "2"}, {"sampler.clip", "false"}, {"denoiser.lr", "1e-2"}});
  SmallDenoiser run({.options = options}, *alone);
  run.train(10);
  const at::Tensor labels = at::tensor({0, 1, 2, 0, 1}, at::kLong);
  const auto draw = [&](double sign, std::int64_t first, std::int64_t count) {
    SampleOptions asked{.ema = false, .seed = 3};
    asked.sources = [&run, sign](std::int64_t row, std::int64_t rows) {
      return sign * run.sources(row, rows);
    };
    return run.method().sampler(asked)->images(first, labels.narrow(0, first, count));
  };
  const at::Tensor together = draw(1, 0, 5);
  EXPECT_LE((together.narrow(0, 3, 2) - draw(1, 3, 2)).abs().max().item<double>(), 1e-6);
  EXPECT_GT((together - draw(-1, 0, 5)).abs().max().item<double>(), 1e-3);
  // With no weight of label and source, none of them shows.
  options["sampler.guidance"] = "0";
  SmallDenoiser blind({.options = options}, *alone);
  blind.train(2);
  SampleOptions one{.seed = 3}, other{.seed = 3};
  one.sources = [&](std::int64_t row, std::int64_t rows) { return blind.sources(row, rows); };
  other.sources = [&](std::int64_t row, std::int64_t rows) { return blind.sources(row + 7, rows); };
  EXPECT_TRUE(at::equal(blind.method().sampler(one)->images(0, labels),
                        blind.method().sampler(other)->images(0, labels)));
  try {
    run.method().sampler({.seed = 3})->images(0, labels);
    ADD_FAILURE() << "sources are missing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    EXPECT_NE(std::string(error.what()).find("--conditions"), std::string::npos);
  }
}

TEST(DenoisingWithSources, AsksForPairs) {
  const ImageSpec spec = test::small_denoiser_recipe(with_sources)->images();
  EXPECT_EQ(spec.sources, SourceImages::paired);
  EXPECT_EQ(spec.source_channels, 1);
  EXPECT_EQ(spec.channels, SmallDenoiser::channels);
  EXPECT_EQ(test::small_denoiser_recipe({})->images().sources, SourceImages::none);
}

const Options of_latents{{"diffusion.first_stage", "autoencoder"},
                         {"diffusion.flip", "true"},
                         {"first_stage.resolution", "16"},
                         {"first_stage.image_channels", "3"},
                         {"first_stage.channels", "4,8"},
                         {"first_stage.groups", "2"},
                         {"first_stage.blocks", "1"},
                         {"first_stage.latent_channels", "2"},
                         {"sampler.clip", "false"}};
TEST(DenoisingRankInvariance, OfLatents) {
  expect_same_run({.batch = 5, .options = of_latents});
}

const Options of_captions{{"diffusion.text", "tokens"}, {"text.vocabulary", "300"}, {"text.length", "5"},
                          {"text.width", "12"},         {"text.depth", "2"},        {"text.heads", "3"},
                          {"text.dropout", "0.3"}};
const Options of_embeddings{
    {"diffusion.text", "embeddings"}, {"text.embedding", "7"}, {"text.places", "3"}, {"text.dropout", "0.3"}};
TEST(DenoisingRankInvariance, OfCaptions) {
  expect_same_run({.batch = 7, .options = of_captions});
}
TEST(DenoisingRankInvariance, OfEmbeddingsOfCaptionsWithAccumulation) {
  expect_same_run({.batch = 10, .accumulate = 2, .options = of_embeddings});
}
TEST(DenoisingRankInvariance, OfASingleEmbedding) {
  Options options = of_embeddings;
  options["text.places"] = "1";
  expect_same_run({.batch = 5, .options = options});
}
TEST(DenoisingRankInvariance, OfLabelsThatMapsAttendTo) {
  expect_same_run({.batch = 5, .options = {{"unet.class_context", "6"}}});
}

/// What a sampler is told of captions, of images 100 on: those of `shift` further ones.
SampleOptions following(const MethodRecipe& recipe, std::int64_t shift = 0) {
  SampleOptions options{.ema = false, .seed = 3};
  const auto captions = [spec = recipe.images(), shift](std::int64_t first, std::int64_t count) {
    return SmallDenoiser::captions(spec, first + 100 + shift, count);
  };
  if (recipe.images().tokens > 0)
    options.tokens = captions;
  else
    options.embeddings = captions;
  return options;
}

TEST(DenoisingOfCaptions, SamplesFollowThem) {
  const auto alone = make_single_communicator();
  const at::Tensor labels = at::tensor({0, 1, 2, 0}, at::kLong);
  for (const auto& captions : {of_captions, of_embeddings}) {
    Options options = captions;
    options["sampler.guidance"] = "2";
    const auto recipe = test::small_denoiser_recipe(options);
    SmallDenoiser run({.options = options}, *alone);
    run.train(10);
    const auto sampler = run.method().sampler(following(*recipe));
    const at::Tensor together = sampler->images(0, labels), part = sampler->images(2, labels.narrow(0, 2, 2));
    EXPECT_LE((together.narrow(0, 2, 2) - part).abs().max().item<double>(), 1e-6);
    const at::Tensor other = run.method().sampler(following(*recipe, 7))->images(0, labels);
    EXPECT_GT((together - other).abs().max().item<double>(), 1e-6);
    EXPECT_TRUE(dynamic_cast<DenoisingPath&>(*sampler).takes_guidance());
    // Without a caption and without a label nothing of either is left.
    Options unguided = options;
    unguided["sampler.guidance"] = "0";
    SmallDenoiser same({.options = unguided}, *alone);
    same.train(10);
    const at::Tensor none = same.method().sampler(following(*recipe))->images(0, labels);
    EXPECT_TRUE(
        at::equal(none, same.method().sampler(following(*recipe, 7))->images(0, at::zeros_like(labels))));
    EXPECT_THROW(run.method().sampler({}), Error);
  }
}

// One draw decides, so that no image goes without its label and yet with its caption: guidance needs images without both.
TEST(DenoisingOfCaptions, GoBeforeLabels) {
  const auto alone = make_single_communicator();
  Options options = of_captions;
  options["text.dropout"] = "0.6";
  SmallDenoiser run({.batch = 60, .options = options}, *alone);
  at::Tensor without_text, labels;
  run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
    if (name == "denoiser.without_text") without_text = tensor.clone();
    if (name == "denoiser.labels") labels = tensor.clone();
  };
  run.train(1);
  const at::Tensor without_label = labels == SmallDenoiser::classes;
  EXPECT_NEAR(without_text.to(at::kDouble).mean().item<double>(), 0.6, 0.2);
  EXPECT_NEAR(without_label.to(at::kDouble).mean().item<double>(), 0.3, 0.2);
  EXPECT_TRUE(at::equal(without_label.logical_and(without_text), without_label));
}

TEST(DenoisingOfCaptions, LeavesThemOutWithTheirProbability) {
  const auto alone = make_single_communicator();
  for (const char* probability : {"0", "1"}) {
    Options options = of_captions;
    options["text.dropout"] = probability;
    SmallDenoiser run({.options = options}, *alone);
    run.train(3);
    double encoder = 0;
    for (const auto& [name, gradient] : run.player().gradients())
      if (name.find("text.encoder.layers") != std::string::npos)
        encoder += gradient.abs().sum().item<double>();
    EXPECT_EQ(encoder > 0, probability[0] == '0') << probability;
  }
}

TEST(DenoisingOfLatents, DrawsThemAnewAndMirrored) {
  const auto alone = make_single_communicator();
  const auto seen = [&](const Options& changes) {
    Options options = of_latents;
    for (const auto& [key, value] : changes) options[key] = value;
    SmallDenoiser run({.batch = 6, .options = options, .few_images = true}, *alone);
    std::vector<at::Tensor> latents;
    run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
      if (name == "denoiser.x0") latents.push_back(tensor.clone());
    };
    run.train(2);
    return latents;
  };
  const auto drawn = seen({}), unmirrored = seen({{"diffusion.flip", "false"}});
  EXPECT_EQ(drawn[0].sizes(), (at::IntArrayRef{6, 2, 8, 8}));
  EXPECT_FALSE(at::equal(drawn[0], drawn[1]));
  // Of six images some are mirrored, the others not; noise is the same.
  const at::Tensor same = (drawn[0] == unmirrored[0]).flatten(1).all(1);
  EXPECT_GT(same.sum().item<std::int64_t>(), 0);
  EXPECT_LT(same.sum().item<std::int64_t>(), 6);
  // The vectors of a codebook are what they are.
  const auto exact = seen({{"first_stage.latent", "vq"}, {"diffusion.flip", "false"}});
  EXPECT_TRUE(at::equal(exact[0], exact[1]));
}

TEST(DenoisingOfLatents, SamplesAreImages) {
  const auto alone = make_single_communicator();
  SmallDenoiser run({.options = of_latents}, *alone);
  run.train(1);
  const at::Tensor images = run.method().sampler({.seed = 3})->images(0, at::tensor({0, 1}, at::kLong));
  EXPECT_EQ(images.sizes(), (at::IntArrayRef{2, 3, 16, 16}));
  EXPECT_TRUE(images.abs().le(1).all().item<bool>());
  const auto recipe = test::small_denoiser_recipe(of_latents);
  EXPECT_EQ(recipe->images().channels, 8);
  EXPECT_EQ(recipe->samples().channels, 3);
  EXPECT_EQ(recipe->samples().height, 16);
  EXPECT_EQ(recipe->samples().classes, 3);
}

// The bound is worth something: one image less of dropout's randomness breaks it.
TEST(DenoisingRankInvariance, AnotherProbabilityOfDropoutBreaksTheBound) {
  EXPECT_GT(
      test::difference(test::train_alone({.options = {{"unet.dropout", "0.21"}}}), test::train_alone({})),
      1e3 * test::denoiser_bound);
}

TEST(Denoising, RepeatsAndResumesBitForBit) {
  expect_repeats_and_resumes({});
}
TEST(DenoisingOfDdpmpp, RepeatsAndResumesBitForBit) {
  expect_repeats_and_resumes(of_ddpmpp);
}
TEST(DenoisingWithSources, RepeatsAndResumesBitForBit) {
  expect_repeats_and_resumes(with_sources);
}
TEST(DenoisingOfCaptions, RepeatsAndResumesBitForBit) {
  expect_repeats_and_resumes(of_captions);
}

TEST(Denoising, LearnsAFewImagesByHeart) {
  expect_learns_by_heart({{"denoiser.lr", "5e-3"}, {"unet.dropout", "0"}, {"ddpm.prediction", "x0"}});
}
TEST(DenoisingWithSources, LearnsAFewImagesByHeart) {
  expect_learns_by_heart({{"denoiser.lr", "5e-3"},
                          {"unet.dropout", "0"},
                          {"ddpm.prediction", "x0"},
                          {"diffusion.source_channels", "1"}});
}

TEST(DenoisingOfCaptions, LearnsAFewImagesByHeart) {
  Options options = of_captions;
  options.insert({{"denoiser.lr", "5e-3"}, {"unet.dropout", "0"}, {"ddpm.prediction", "x0"}});
  expect_learns_by_heart(options);
}

TEST(DenoisingSampler, AnImageDependsOnItsIndexAndLabelAlone) {
  const auto alone = make_single_communicator();
  for (const std::string solver : {"ddpm", "ddim", "dpm++2m", "euler", "heun"}) {
    SCOPED_TRACE(solver);
    SmallDenoiser run({.options = {{"sampler.solver", solver},
                                   {"sampler.guidance", "2"},
                                   {"sampler.eta", solver == "ddim" ? "0.5" : "0"}}},
                      *alone);
    run.train(2);
    const NamedTensors before = run.state();
    const auto sampler = run.method().sampler({.seed = 3});
    const at::Tensor labels = at::tensor({0, 1, 2, 0, 1}, at::kLong);
    const at::Tensor together = sampler->images(0, labels), part = sampler->images(3, labels.narrow(0, 3, 2));
    EXPECT_LE((together.narrow(0, 3, 2) - part).abs().max().item<double>(), 1e-6);
    EXPECT_TRUE(together.abs().le(1).all().item<bool>());
    const at::Tensor other = run.method().sampler({.seed = 4})->images(0, labels);
    EXPECT_GT((together - other).abs().max().item<double>(), 1e-2);
    const NamedTensors after = run.state();
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i].second, after[i].second));
  }
}

TEST(DenoisingSampler, TakesTheNoiseThatItBeginsWith) {
  const auto alone = make_single_communicator();
  const at::Tensor labels = at::tensor({0, 1, 2}, at::kLong);
  const auto draws = [&](const Options& options) {
    SmallDenoiser run({.options = options}, *alone);
    run.train(2);
    const auto sampler = run.method().sampler({.seed = 3});
    auto& latents = dynamic_cast<LatentImages&>(*sampler);
    return std::pair(sampler->images(4, labels), latents.images_of(latents.latents(4, 3), labels));
  };
  const auto [drawn, from_latents] = draws({{"sampler.solver", "ddim"}});
  EXPECT_TRUE(at::equal(drawn, from_latents));
  // A solver's own noise is that of image 0 for all.
  const auto [noisy, alike] = draws({{"sampler.solver", "ddim"}, {"sampler.eta", "1"}});
  EXPECT_FALSE(at::equal(noisy, alike));
  SmallDenoiser run({.options = {{"sampler.solver", "ddpm"}}}, *alone);
  run.train(2);
  const auto sampler = run.method().sampler({.seed = 3});
  auto& latents = dynamic_cast<LatentImages&>(*sampler);
  const at::Tensor same =
      latents.images_of(latents.latents(2, 1).expand({2, -1}), at::tensor({1, 1}, at::kLong));
  EXPECT_LE((same[0] - same[1]).abs().max().item<double>(), 1e-6);
}

TEST(DenoisingSampler, GuidanceActsWithinItsInterval) {
  const auto alone = make_single_communicator();
  const auto draw = [&](const Options& options) {
    SmallDenoiser run({.options = options}, *alone);
    run.train(30);
    return run.method().sampler({.ema = false, .seed = 3})->images(0, at::tensor({0, 1}, at::kLong));
  };
  const at::Tensor plain = draw({});
  EXPECT_TRUE(at::equal(plain, draw({{"sampler.guidance", "1"}})));
  EXPECT_FALSE(at::equal(plain, draw({{"sampler.guidance", "8"}})));
  EXPECT_TRUE(at::equal(plain, draw({{"sampler.guidance", "8"}, {"sampler.guidance_most", "1e-6"}})));
  // Of the four steps some have more noise than image, the others less.
  const at::Tensor always = draw({{"sampler.guidance", "8"}}),
                   late = draw({{"sampler.guidance", "8"}, {"sampler.guidance_most", "1"}}),
                   early = draw({{"sampler.guidance", "8"}, {"sampler.guidance_least", "1"}});
  for (const at::Tensor& part : {late, early}) {
    EXPECT_FALSE(at::equal(part, plain));
    EXPECT_FALSE(at::equal(part, always));
  }
  EXPECT_FALSE(at::equal(late, early));
}

// Flow matching begins with noise alone, where sigma / alpha is infinite.
TEST(DenoisingSampler, GuidanceIsOfNoiseAloneToo) {
  const auto alone = make_single_communicator();
  const auto draw = [&](const Options& changes) {
    Options options{{"diffusion.process", "flow"}, {"sampler.steps", "1"}, {"sampler.solver", "euler"}};
    options.insert(changes.begin(), changes.end());
    SmallDenoiser run({.options = options}, *alone);
    run.train(30);
    return run.method().sampler({.ema = false, .seed = 3})->images(0, at::tensor({0, 1}, at::kLong));
  };
  const at::Tensor plain = draw({});
  EXPECT_FALSE(at::equal(plain, draw({{"sampler.guidance", "8"}})));
  EXPECT_TRUE(at::equal(plain, draw({{"sampler.guidance", "8"}, {"sampler.guidance_most", "100"}})));
}

TEST(Denoising, RecomputingChangesNothing) {
  const auto alone = make_single_communicator();
  const Options of_unet{{"unet.residual_resampling", "true"}, {"unet.scale_shift", "true"}},
      of_dit{{"diffusion.network", "dit"}};
  for (Options options : {of_unet, of_captions, of_dit, of_ddpmpp}) {
    const NamedTensors kept = test::train_alone({.options = options});
    options["diffusion.recompute"] = "true";
    EXPECT_LE(test::difference(test::train_alone({.options = options}), kept), test::denoiser_bound);
    // Whatever the maps' type: there both ways forward must be one (from the third update on, rounding has grown), and no
    // weight's gradient is lost.
    const auto gradients_after = [&](int steps, const char* recompute) {
      options["diffusion.recompute"] = recompute;
      SmallDenoiser half({.options = options, .dtype = at::kFloat, .activations = at::kBFloat16}, *alone);
      half.train(steps);
      NamedTensors gradients;
      for (const auto& [name, gradient] : half.player().gradients()) gradients.emplace_back(name, gradient.clone());
      return gradients;
    };
    EXPECT_LE(test::difference(gradients_after(2, "true"), gradients_after(2, "false")), 1e-6);
    for (const auto& [name, gradient] : gradients_after(3, "true"))
      EXPECT_GT(gradient.abs().max().item<double>(), 0) << name;
  }
}

TEST(DenoisingOptions, LeaveATimeOneFrequency) {
  const auto alone = make_single_communicator();
  SmallDenoiser network({.options = {{"unet.time_channels", "2"}, {"unet.frequency_shift", "0"}}}, *alone);
  network.train(1);
  for (const auto& [name, gradient] : network.player().gradients())
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << name;
}

TEST(DenoisingOptions, ThatDoNotFitTogetherAreRefused) {
  expect_refused({{"diffusion.network", "nonesuch"}}, "give one of ddpmpp, dit, unet");
  expect_refused({{"diffusion.process", "nonesuch"}}, "give one of ddpm, edm, flow");
  expect_refused({{"sampler.solver", "nonesuch"}}, "dpm++2m");
  expect_refused({{"unet.groups", "3"}}, "unet.groups = 3");
  expect_refused({{"unet.attention", "5"}}, "unet.attention = 5");
  expect_refused({{"unet.resolution", "9"}}, "unet.resolution = 9");
  expect_refused({{"unet.time_channels", "2"}}, "unet.time_channels = 2");
  expect_refused({{"unet.head_channels", "3"}}, "unet.head_channels = 3");
  expect_refused({{"unet.head_channels", "4"}, {"unet.heads", "2"}}, "unet.heads = 2");
  expect_refused({{"sampler.solver", "ddpm"}, {"sampler.eta", "0.5"}}, "sampler.eta = 0.5");
  expect_refused({{"diffusion.process", "flow"}, {"sampler.spacing", "leading"}}, "sampler.spacing = leading");
  expect_refused({{"unet.channels", "7"}, {"unet.groups", "1"}, {"unet.attention", "8"}}, "unet.channels");
  expect_refused({{"diffusion.network", "dit"}, {"dit.patch", "3"}}, "dit.patch = 3");
  expect_refused({{"diffusion.network", "dit"}, {"dit.heads", "3"}}, "dit.heads = 3");
  expect_refused({{"diffusion.network", "ddpmpp"}, {"ddpmpp.groups", "3"}}, "ddpmpp.groups = 3");
  expect_refused({{"diffusion.network", "ddpmpp"}, {"ddpmpp.attention", "5"}}, "ddpmpp.attention = 5");
  expect_refused({{"diffusion.network", "ddpmpp"}, {"ddpmpp.base", "9"}}, "ddpmpp.base = 9");
  expect_refused({{"diffusion.augment", "0.1"}}, "set it to ddpmpp");
  expect_refused({{"diffusion.network", "ddpmpp"}, {"diffusion.augment", "0.1"}, {"ddpmpp.resolution", "4"}},
                 "at least 8 x 8");
  expect_refused({{"diffusion.network", "ddpmpp"}, {"diffusion.augment", "0.1"}, {"diffusion.source_channels", "1"}},
                 "not latents or sources");
  expect_refused({{"unet.classes", "1"}}, "diffusion.label_dropout = 0.3");
  expect_refused({{"diffusion.text", "nonesuch"}}, "give one of none, tokens, embeddings");
  expect_refused({{"diffusion.text", "tokens"}, {"text.heads", "7"}}, "text.heads = 7");
  expect_refused({{"diffusion.text", "tokens"}, {"text.vocabulary", "100"}}, "text.vocabulary");
  expect_refused({{"diffusion.text", "tokens"}, {"diffusion.network", "dit"}},
                 "set diffusion.network = unet");
  expect_refused({{"diffusion.text", "tokens"}, {"unet.class_context", "8"}}, "without unet.class_context");
  expect_refused({{"unet.class_context", "8"}, {"unet.classes", "1"}, {"diffusion.label_dropout", "0"}},
                 "unet.class_context = 8");
  expect_refused({{"diffusion.label_dropout", "0"}, {"sampler.guidance", "2"}}, "sampler.guidance = 2");
  expect_refused({{"sampler.steps", "1001"}}, "sampler.steps = 1001");
  expect_refused({{"sampler.guidance_least", "2"}, {"sampler.guidance_most", "1"}},
                 "sampler.guidance_least = 2");
  expect_refused({{"ddpm.beta_first", "0.03"}}, "ddpm.beta_first = 0.03");
  expect_refused({{"diffusion.process", "edm"}, {"edm.sigma_min", "90"}}, "edm.sigma_min = 90");
  expect_refused({{"denoiser.ema_power", "0.1,0.4"}}, "denoiser.ema_power = 0.1,0.4: a relative width is in");
  expect_refused({{"denoiser.ema_power", "0.1,0.10"}}, "the width 0.1 comes twice");
  expect_refused({{"denoiser.ema_power", "wide"}}, "denoiser.ema_power = 'wide'");
  expect_refused({{"denoiser.decay", "cosine"}}, "denoiser.decay_until");
  expect_refused({{"diffusion.source_dropout", "0.1"}}, "diffusion.source_dropout = 0.1");
  expect_refused({{"diffusion.source_channels", "65"}}, "diffusion.source_channels");
  const auto refused_of_latents = [](const char* key, const char* value, const std::string& what) {
    Options options = of_latents;
    options[key] = value;
    expect_refused(options, what);
  };
  refused_of_latents("sampler.clip", "true", "sampler.clip = true");
  refused_of_latents("diffusion.source_channels", "3", "diffusion.source_channels = 3");
  refused_of_latents("first_stage.latent_channels", "3", "latents are 3 x 8 x 8");
  refused_of_latents("first_stage.groups", "3", "first_stage.groups = 3");
}

TEST(Denoising, ASkippedUpdateChangesNothing) {
  for (const auto activations : {std::optional<at::ScalarType>{}, {at::kHalf}}) {
    Options options;
    if (activations) options["denoiser.ema_power"] = "0.1";  // would keep the weight that is not a number
    test::expect_skipping_changes_nothing(
        SmallDenoiser({.options = options, .dtype = at::kFloat, .activations = activations}, test::world()));
    test::expect_skipping_changes_nothing(SmallDenoiser(
        {.options = {{"train.method", "noisy_classifier"}}, .dtype = at::kFloat, .activations = activations}, test::world()));
  }
}

}  // namespace
}  // namespace ganymede
