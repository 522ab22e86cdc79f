#include "launch/recipe.h"

#include <gtest/gtest.h>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

RunOptions options_of(const std::map<std::string, std::string>& settings) {
  Settings all;
  for (const auto& [key, value] : settings) all[key] = {value, "test"};
  return RunOptions({all});
}

TEST(RunOptions, RefusesADecayThatEndsBeforeItBegins) {
  for (const char* decay : {"linear", "cosine"}) {
    const std::string message = expect_error(ExitCode::options, [&] {
      options_of({{"generator.decay", decay}}).check(1);
    });
    EXPECT_NE(message.find("generator.decay_until = 0"), message.npos) << message;
  }
  expect_error(ExitCode::options, [] {
    options_of({{"discriminator.decay", "linear"},
                {"discriminator.decay_from", "50"},
                {"discriminator.decay_until", "50"}})
        .check(1);
  });
  EXPECT_NO_THROW(options_of({{"generator.decay", "linear"}, {"generator.decay_until", "1"}}).check(1));
  EXPECT_NO_THROW(options_of({{"generator.decay_from", "5"}}).check(1));
}

TEST(RunOptions, WarnsOfARunThatOutlastsItsLearningRate) {
  const auto warnings = [](std::int64_t steps, const std::string& final_factor) {
    return options_of({{"gan.d_steps", "2"},
                       {"discriminator.decay", "linear"},
                       {"discriminator.decay_until", "100"},
                       {"discriminator.final_factor", final_factor}})
        .method->warnings(steps);
  };
  EXPECT_TRUE(warnings(50, "0").empty());
  // The discriminator makes two updates a step.
  ASSERT_EQ(warnings(51, "0").size(), 1u);
  EXPECT_NE(warnings(51, "0")[0].find("discriminator.decay_until"), std::string::npos);
  EXPECT_TRUE(warnings(51, "0.1").empty());
}

// Only a generator's average is ever read.
TEST(RunOptions, TheDiscriminatorKeepsNoAverage) {
  EXPECT_NO_THROW(options_of({{"generator.ema", "0.9"}}));
  expect_error(ExitCode::options, [] { options_of({{"discriminator.ema", "0.9"}}); });
}

TEST(RunOptions, LatentsAreMirroredByTheirOwnOption) {
  const Settings latents = read_recipe(recipe_path("ldm-digits"));
  const RunOptions options({latents});
  EXPECT_TRUE(options.learns_latents());
  EXPECT_NO_THROW(options.check(2));
  EXPECT_FALSE(RunOptions({read_recipe(recipe_path("ddpm-digits"))}).learns_latents());
  EXPECT_FALSE(RunOptions({read_recipe(recipe_path("kl-digits"))}).learns_latents());
  const auto refused = [&](const char* key, const char* value) {
    return expect_error(ExitCode::options, [&] { RunOptions({latents, {{key, {value, "test"}}}}).check(2); });
  };
  EXPECT_NE(refused("data.flip", "true").find("diffusion.flip"), std::string::npos);
  EXPECT_NE(refused("collapse.action", "warn").find("collapse.action = warn"), std::string::npos);
}

TEST(RunOptions, ImagesAreMirroredOnceWhereTheNetworkIsToldOfIt) {
  const Settings edm = read_recipe(recipe_path("edm-cifar10"));
  EXPECT_NO_THROW(RunOptions({edm}).check(2));
  const auto refused =
      expect_error(ExitCode::options, [&] { RunOptions({edm, {{"data.flip", {"true", "test"}}}}).check(2); });
  EXPECT_NE(refused.find("diffusion.augment"), std::string::npos);
  EXPECT_NO_THROW(RunOptions({edm, {{"data.flip", {"true", "test"}}, {"diffusion.augment", {"0", "test"}}}}).check(2));
}

TEST(Recipes, AnUnreachableFileIsNoRecipe) {
  const std::string name(300, 'x');
  EXPECT_NE(expect_error(ExitCode::options, [&] { recipe_path(name); }).find("is neither a file"), name.npos);
}

}  // namespace
}  // namespace ganymede
