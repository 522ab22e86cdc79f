// Denoising diffusion as a method: the same on any number of ranks, repeatable, resumable, in bfloat16 too.

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/denoising_path.h"
#include "models/latent_images.h"
#include "tests/distributed/world.h"
#include "tests/models/small_denoiser.h"

namespace ganymede {
namespace {

using test::SmallDenoiser;
using test::SmallDenoiserOptions;
using test::world;

constexpr std::int64_t steps = 6;
constexpr double bound = 1e-9;

using Options = std::map<std::string, std::string>;

NamedTensors train_alone(const SmallDenoiserOptions& options) {
  const auto alone = make_single_communicator();
  SmallDenoiser run(options, *alone);
  run.train(steps);
  return run.state();
}

/// The largest relative L2 of a tensor. The bias of keys adds the same to all of a query's logits, which the softmax
/// takes away: its gradient is rounding, which Adam magnifies.
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
  for (const auto& [name, tensor] : state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
  if (world().rank() == 0) {
    EXPECT_LE(difference(state, train_alone(options)), bound);
  }
}

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
  expect_same_run({.batch = 6, .accumulate = 2, .options = of_embeddings});
}

TEST(DenoisingOfCaptions, RepeatsAndResumesBitForBit) {
  for (const auto& captions : {of_captions, of_embeddings}) {
    const SmallDenoiserOptions options{.options = captions, .dtype = at::kFloat, .activations = at::kBFloat16};
    const auto group = world().duplicate("gradients");
    SmallDenoiser whole(options, *group), resumed(options, *group);
    whole.train(2);
    resumed.train(1);
    resumed.restore(whole.state(), 2);
    whole.train(2);
    resumed.train(2);
    const NamedTensors state = whole.state(), later = resumed.state();
    bool same = true;
    for (std::size_t i = 0; i < state.size(); ++i) same = same && at::equal(state[i].second, later[i].second);
    EXPECT_TRUE(test::everywhere(same));
  }
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
    EXPECT_TRUE(at::equal(none, same.method().sampler(following(*recipe, 7))->images(0, at::zeros_like(labels))));
    EXPECT_THROW(run.method().sampler({}), Error);
  }
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
      if (name.find("text.encoder.layers") != std::string::npos) encoder += gradient.abs().sum().item<double>();
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
  EXPECT_GT(difference(train_alone({.options = {{"unet.dropout", "0.21"}}}), train_alone({})), 1e3 * bound);
}

TEST(Denoising, RepeatsAndResumesBitForBit) {
  for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
    const SmallDenoiserOptions options{.dtype = at::kFloat, .activations = activations};
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
    EXPECT_TRUE(test::everywhere(same));
  }
}

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
  return test::sum_over_ranks(last) / test::sum_over_ranks(first);
}

TEST(Denoising, LearnsAFewImagesByHeart) {
  Options options{{"denoiser.lr", "5e-3"}, {"unet.dropout", "0"}, {"ddpm.prediction", "x0"}};
  for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
    const double ratio = progress(
        {.options = options, .dtype = at::kFloat, .activations = activations, .few_images = true}, 80);
    EXPECT_LT(ratio, 0.8);
  }
}

TEST(DenoisingOfCaptions, LearnsAFewImagesByHeart) {
  for (const auto& captions : {of_captions, of_embeddings}) {
    Options options = captions;
    options.insert({{"denoiser.lr", "5e-3"}, {"unet.dropout", "0"}, {"ddpm.prediction", "x0"}});
    const double ratio = progress(
        {.options = options, .dtype = at::kFloat, .activations = at::kBFloat16, .few_images = true}, 80);
    EXPECT_LT(ratio, 0.8);
  }
}

TEST(DenoisingSampler, AnImageDependsOnItsIndexAndLabelAlone) {
  const auto alone = make_single_communicator();
  for (const char* solver : {"ddpm", "ddim", "dpm++2m", "euler", "heun"}) {
    SCOPED_TRACE(solver);
    SmallDenoiser run(
        {.options = {{"sampler.solver", solver}, {"sampler.guidance", "2"}, {"sampler.eta", "0.5"}}}, *alone);
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
}

void expect_refused(const Options& options, const std::string& what) {
  try {
    test::small_denoiser_recipe(options);
    ADD_FAILURE() << what << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

TEST(DenoisingOptions, ThatDoNotFitTogetherAreRefused) {
  expect_refused({{"diffusion.network", "nonesuch"}}, "give one of dit, unet");
  expect_refused({{"diffusion.process", "nonesuch"}}, "give one of ddpm, edm, flow");
  expect_refused({{"sampler.solver", "nonesuch"}}, "dpm++2m");
  expect_refused({{"unet.groups", "3"}}, "unet.groups = 3");
  expect_refused({{"unet.attention", "5"}}, "unet.attention = 5");
  expect_refused({{"unet.resolution", "9"}}, "unet.resolution = 9");
  expect_refused({{"unet.head_channels", "3"}}, "unet.head_channels = 3");
  expect_refused({{"unet.channels", "7"}, {"unet.groups", "1"}, {"unet.attention", "8"}}, "unet.channels");
  expect_refused({{"diffusion.network", "dit"}, {"dit.patch", "3"}}, "dit.patch = 3");
  expect_refused({{"diffusion.network", "dit"}, {"dit.heads", "3"}}, "dit.heads = 3");
  expect_refused({{"unet.classes", "1"}}, "diffusion.label_dropout = 0.3");
  expect_refused({{"diffusion.text", "nonesuch"}}, "give one of none, tokens, embeddings");
  expect_refused({{"diffusion.text", "tokens"}, {"text.heads", "7"}}, "text.heads = 7");
  expect_refused({{"diffusion.text", "tokens"}, {"text.vocabulary", "100"}}, "text.vocabulary");
  expect_refused({{"diffusion.text", "tokens"}, {"diffusion.network", "dit"}}, "set diffusion.network = unet");
  expect_refused({{"diffusion.text", "tokens"}, {"unet.class_context", "8"}}, "without unet.class_context");
  expect_refused({{"unet.class_context", "8"}, {"unet.classes", "1"}, {"diffusion.label_dropout", "0"}},
                 "unet.class_context = 8");
  expect_refused({{"diffusion.label_dropout", "0"}, {"sampler.guidance", "2"}}, "sampler.guidance = 2");
  expect_refused({{"sampler.steps", "1001"}}, "sampler.steps = 1001");
  expect_refused({{"sampler.guidance_least", "2"}, {"sampler.guidance_most", "1"}},
                 "sampler.guidance_least = 2");
  expect_refused({{"ddpm.beta_first", "0.03"}}, "ddpm.beta_first = 0.03");
  expect_refused({{"diffusion.process", "edm"}, {"edm.sigma_min", "90"}}, "edm.sigma_min = 90");
  expect_refused({{"denoiser.decay", "cosine"}}, "denoiser.decay_until");
  const auto refused_of_latents = [](const char* key, const char* value, const std::string& what) {
    Options options = of_latents;
    options[key] = value;
    expect_refused(options, what);
  };
  refused_of_latents("sampler.clip", "true", "sampler.clip = true");
  refused_of_latents("first_stage.latent_channels", "3", "latents are 3 x 8 x 8");
  refused_of_latents("first_stage.groups", "3", "first_stage.groups = 3");
}

}  // namespace
}  // namespace ganymede
