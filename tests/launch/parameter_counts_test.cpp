// What the recipes' networks count, against the peers' own classes and papers.

#include <gtest/gtest.h>

#include "launch/recipe.h"

namespace ganymede {
namespace {

std::int64_t first_count_of(const std::string& recipe) {
  return RunOptions({read_recipe(recipe_path(recipe))}).method->parameter_counts().front().second;
}

std::int64_t count_of(const std::string& recipe, const Settings& changes = {}) {
  const RunOptions options({read_recipe(recipe_path(recipe)), changes});
  const auto counts = options.method->parameter_counts();
  EXPECT_EQ(counts.size(), 1u);
  return counts[0].second;
}

TEST(ParameterCounts, OfDdpm) {
  EXPECT_EQ(count_of("ddpm-cifar10"), 35'746'307);
}

TEST(ParameterCounts, OfTransformers) {
  EXPECT_EQ(count_of("dit-s2"), 32'963'360);
  EXPECT_EQ(count_of("dit-s8"), 33'148'160);
  EXPECT_EQ(count_of("dit-b2"), 130'512'416);
  EXPECT_EQ(count_of("dit-b4"), 130'475'648);
  EXPECT_EQ(count_of("dit-l2"), 458'102'816);
  EXPECT_EQ(count_of("dit-xl2"), 675'129'632);
}

TEST(ParameterCounts, OfAdm) {
  EXPECT_EQ(count_of("adm-imagenet64"), 295'904'454);
  EXPECT_EQ(count_of("adm-imagenet128"), 421'529'606);
  EXPECT_EQ(count_of("adm-imagenet256"), 553'838'086);
  EXPECT_EQ(count_of("adm-unlabelled256"), 552'814'086);
  EXPECT_EQ(count_of("adm-upsampler256"), 311'795'910);
  EXPECT_EQ(count_of("adm-imagenet512"), 558'997'638);
}

TEST(ParameterCounts, OfEdm) {
  EXPECT_EQ(count_of("edm-cifar10"), 55'733'891);
  EXPECT_EQ(count_of("edm-cifar10-classes"), 55'735'299);
  EXPECT_EQ(count_of("edm-imagenet64"), 295'899'267);
}

TEST(ParameterCounts, OfAdmsClassifiers) {
  EXPECT_EQ(count_of("adm-classifier64"), 65'438'568);
  EXPECT_EQ(count_of("adm-classifier128"), 42'568'040);
  EXPECT_EQ(count_of("adm-classifier256"), 54'096'360);
  EXPECT_EQ(count_of("adm-classifier512"), 54'448'360);
}

TEST(ParameterCounts, OfFirstStages) {
  EXPECT_EQ(first_count_of("kl-f4"), 55'312'063);
  EXPECT_EQ(first_count_of("kl-f8"), 83'653'863);
  EXPECT_EQ(first_count_of("kl-f16"), 69'610'963);
  EXPECT_EQ(first_count_of("vq-f4"), 55'322'782);
  EXPECT_EQ(first_count_of("vq-f8"), 67'717'295);
  EXPECT_EQ(first_count_of("vq-f16"), 72'141'699);
  const auto counts = RunOptions({read_recipe(recipe_path("kl-f4"))}).method->parameter_counts();
  ASSERT_EQ(counts.size(), 4u);
  EXPECT_EQ(counts[1].second, 2'765'633);
  EXPECT_EQ(counts[2].second, 14'714'688);
  EXPECT_EQ(counts[3].second, 1'472);
}

TEST(ParameterCounts, OfLatentDiffusion) {
  EXPECT_EQ(count_of("ldm4-celebahq"), 274'056'163);
  EXPECT_EQ(count_of("ldm8-churches"), 294'966'916);
  // Beside the networks the table of 1,000 classes and none, 512 numbers each.
  EXPECT_EQ(count_of("ldm4-imagenet"), 400'920'579 + 512'512);
  EXPECT_EQ(count_of("ldm8-imagenet"), 394'984'196 + 512'512);
}

// The network of Stable Diffusion 1, without its text encoder.
TEST(ParameterCounts, OfAWidelyUsedNetworkThatFollowsText) {
  const Settings changes{{"diffusion.text", {"embeddings", "test"}},
                         {"text.embedding", {"768", "test"}},
                         {"text.places", {"77", "test"}},
                         {"text.dropout", {"0", "test"}},
                         {"unet.channels", {"320,640,1280,1280", "test"}},
                         {"unet.attention", {"32,16,8", "test"}},
                         {"unet.resolution", {"32", "test"}},
                         {"unet.heads", {"8", "test"}},
                         {"unet.scale_shift", {"false", "test"}},
                         {"unet.residual_resampling", {"false", "test"}}};
  EXPECT_EQ(count_of("ldm8-churches", changes), 859'520'964);
}

}  // namespace
}  // namespace ganymede
