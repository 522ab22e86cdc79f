// pix2pix and CycleGAN as methods: the same on any number of ranks, repeatable, resumable, in bfloat16 too.

#include <gtest/gtest.h>

#include "tests/distributed/world.h"
#include "tests/models/small_translation.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::expect_refused;
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

Variant variant(const std::string& method, const std::string& name, const Options& options = {},
                std::int64_t accumulate = 1) {
  // Neither 2, 3 nor 4 ranks divide the micro-batch.
  return {method + "_" + name,
          {.method = method, .batch = 5 * accumulate, .accumulate = accumulate, .options = options}};
}

std::vector<Variant> variants() {
  std::vector<Variant> all{
      variant("pix2pix", "plain"),
      variant("pix2pix", "accumulated", {}, 2),
      variant("pix2pix", "instance_norm", {{"pix2pix.norm", "instance"}}),
      variant("pix2pix", "pixels", {{"pix2pix.patch_layers", "0"}, {"pix2pix.dropout_blocks", "2"}}),
      variant("pix2pix", "clipped", {{"generator.clip", "0.1"}, {"discriminator.clip", "0.1"}}),
      variant("cyclegan", "plain"),
      variant("cyclegan", "accumulated", {{"cyclegan.pool", "12"}}, 2),
      variant("cyclegan", "without_pool", {{"cyclegan.pool", "0"}}),
      variant("cyclegan", "identity", {{"cyclegan.image_channels", "3"}, {"cyclegan.identity", "0.5"}}),
      variant("cyclegan", "decay",
              {{"generator.decay", "linear"}, {"generator.decay_from", "1"}, {"generator.decay_until", "5"}}),
  };
  // Groups that lie on several ranks.
  all.push_back({"pix2pix_groups",
                 {.batch = 10, .options = {{"pix2pix.batch_norm_group", "5"}, {"pix2pix.depth", "2"}}}});
  for (const char* method : {"pix2pix", "cyclegan"})
    for (const char* loss : {"hinge", "logistic", "lsgan", "minimax"})
      all.push_back(variant(method, loss, {{"gan.loss", loss}}));
  return all;
}

NamedTensors trained_alone(const SmallTranslationOptions& options) {
  const auto alone = make_single_communicator();
  SmallTranslation run(options, *alone, *alone);
  run.train(steps);
  return run.state();
}

class Translation : public testing::TestWithParam<Variant> {};

TEST_P(Translation, TrainsTheSameOnAnyNumberOfRanks) {
  test::expect_as_on_one_rank(GetParam().options, steps);
}

TEST_P(Translation, RepeatsAndContinuesBitForBit) {
  test::expect_repeats_and_continues(GetParam().options, steps);
}

TEST_P(Translation, CostsAreWhatAStepSends) {
  test::expect_costs_are_sent(GetParam().options);
}

INSTANTIATE_TEST_SUITE_P(All, Translation, testing::ValuesIn(variants()),
                         [](const auto& each) { return each.param.name; });

// The bounds are worth something: each variant is another training than the plain one.
TEST(TranslationVariants, AreNotThePlainOnes) {
  for (const std::string method : {"pix2pix", "cyclegan"}) {
    const NamedTensors plain = trained_alone(variant(method, "").options);
    const auto differs = [&](const Options& options) {
      const NamedTensors state = trained_alone(variant(method, "", options).options);
      return !at::equal(state[0].second, plain[0].second);
    };
    EXPECT_FALSE(differs({}));
    EXPECT_TRUE(differs({{"gan.loss", "hinge"}}));
    EXPECT_TRUE(differs({{method + ".adversarial", "3"}}));
    EXPECT_TRUE(differs({{method + ".discriminator_factor", "0.1"}}));
    for (const char* option : {"pix2pix.l1", "pix2pix.dropout", "cyclegan.cycle", "cyclegan.pool"})
      if (std::string(option).starts_with(method)) {
        EXPECT_TRUE(differs({{option, "0"}})) << option;
      }
  }
}

/// Of one figure, the last step's over the first's.
double progress(const SmallTranslationOptions& options, const std::string& name, std::int64_t count) {
  SmallTranslation run(options, world(), world());
  const auto figure = [&](const Figures& report) {
    for (const auto& [known, value] : report)
      if (known == name) return test::sum_over_ranks(value);
    throw std::logic_error("no figure " + name);
  };
  const double first = figure(run.train(1));
  return figure(run.train(count - 1)) / first;
}

TEST(TranslationMethods, LearnAFewImagesByHeart) {
  const Options rates{{"generator.lr", "5e-3"}, {"generator.eps", "1e-8"}, {"discriminator.eps", "1e-8"}};
  for (const auto activations : {std::optional<at::ScalarType>(), std::optional(at::kBFloat16)}) {
    SmallTranslationOptions pairs{
        .batch = 4, .options = rates, .dtype = at::kFloat, .activations = activations, .few_images = true};
    pairs.options.insert({{"pix2pix.dropout", "0"}, {"pix2pix.generator_channels", "12"}});
    EXPECT_LT(progress(pairs, "l1", 80), 0.5);
    SmallTranslationOptions sets = pairs;
    sets.method = "cyclegan";
    sets.options = rates;
    sets.options["cyclegan.generator_channels"] = "12";
    EXPECT_LT(progress(sets, "cycle", 50), 0.7);
  }
}

// What D is shown of its own past is the pool's doing: at first what was made just now, then also older images.
TEST(CycleGan, ThePoolShowsImagesOfThePast) {
  SmallTranslation run({.method = "cyclegan", .batch = 4}, world(), world());
  std::vector<at::Tensor> made, shown;
  run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
    if (name == "generator.fake_image") made.push_back(tensor.detach().clone());
    if (name == "discriminator.pooled_image") shown.push_back(tensor.clone());
  };
  run.train(12);
  // Each image that is shown in the place of a new one was in the pool, and leaves its place to the new one.
  std::vector<at::Tensor> pool;
  std::int64_t seen = 0, old = 0, lost = 0;
  for (std::size_t step = 0; step < shown.size(); ++step)
    for (std::int64_t i = 0; i < shown[step].size(0); ++i, ++seen) {
      const at::Tensor image = shown[step][i], fresh = made[step][i];
      const bool is_fresh = at::equal(image, fresh);
      old += is_fresh ? 0 : 1;
      if (pool.size() < 3) {
        lost += is_fresh ? 0 : 1;
        pool.push_back(fresh);
      } else if (!is_fresh) {
        const auto place =
            std::ranges::find_if(pool, [&](const at::Tensor& kept) { return at::equal(kept, image); });
        lost += place == pool.end() ? 1 : 0;
        if (place != pool.end()) *place = fresh;
      }
    }
  EXPECT_EQ(test::sum_over_ranks(static_cast<double>(seen)), 48);
  const double exchanged = test::sum_over_ranks(static_cast<double>(old));
  EXPECT_GE(exchanged, 10);
  EXPECT_LE(exchanged, 36);
  if (world().size() == 1) {  // where all of them are seen
    EXPECT_EQ(lost, 0);
  }
}

TEST(TranslationOptions, ThatDoNotFitTogetherAreRefused) {
  const auto refused = [](const std::string& method, const Options& options, const std::string& what) {
    expect_refused(
        what, [&] { test::small_translation_recipe({.method = method, .batch = 6, .options = options}); });
  };
  for (const std::string method : {"pix2pix", "cyclegan"}) {
    for (const char* loss : {"began", "ebgan", "relativistic", "relativistic_average"})
      refused(method, {{"gan.loss", loss}}, "whole images");
    refused(method, {{"gan.loss", "wasserstein"}}, "slope");
    refused(method, {{"gan.loss", "nonesuch"}}, "give one of began");
    refused(method, {{method + ".patch_layers", "2"}}, method + ".patch_layers = 2");
    refused(method, {{"generator.decay", "linear"}}, "generator.decay_until");
    refused(method, {{"gan.gradient_penalty", "10"}}, "gan.gradient_penalty");
  }
  refused("pix2pix", {{"pix2pix.depth", "4"}}, "pix2pix.depth = 4");
  refused("pix2pix", {{"pix2pix.dropout_blocks", "3"}}, "pix2pix.dropout_blocks = 3");
  refused("pix2pix", {{"pix2pix.batch_norm_group", "4"}}, "pix2pix.batch_norm_group = 4");
  refused("cyclegan", {{"cyclegan.identity", "1"}}, "cyclegan.identity = 1");
  refused("cyclegan", {{"cyclegan.width", "18"}}, "cyclegan.width = 18");
}

TEST(TranslationRecipes, AskForTheirSources) {
  const ImageSpec paired = test::small_translation_recipe({})->images();
  EXPECT_EQ(paired.sources, SourceImages::paired);
  EXPECT_EQ(paired.source_channels, 3);
  EXPECT_EQ(paired.channels, 2);
  EXPECT_EQ(test::small_translation_recipe({.method = "cyclegan"})->images().sources, SourceImages::unpaired);
}

TEST(TranslationRecipes, CountAsPublished) {
  using Counts = std::vector<std::pair<std::string, std::int64_t>>;
  EXPECT_EQ(make_method_recipe("pix2pix", {})->parameter_counts(),
            (Counts{{"generator", 54'413'955}, {"discriminator", 2'768'705}}));
  EXPECT_EQ(make_method_recipe("cyclegan", {})->parameter_counts(), (Counts{{"to_images", 11'378'179},
                                                                            {"to_sources", 11'378'179},
                                                                            {"of_images", 2'764'737},
                                                                            {"of_sources", 2'764'737}}));
}

TEST(Translation, ASkippedUpdateChangesNothing) {
  for (const char* method : {"pix2pix", "cyclegan"})
    for (const auto activations : {std::optional<at::ScalarType>{}, {at::kHalf}}) {
      SCOPED_TRACE(method);
      test::expect_skipping_changes_nothing(
          SmallTranslation({.method = method, .dtype = at::kFloat, .activations = activations}, world(), world()));
    }
}

}  // namespace
}  // namespace ganymede
