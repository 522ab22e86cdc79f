// What holds for every pair of networks in the table, beside agreement between ranks (rank_invariance_test.cpp).

#include "models/gan/network.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/gan/auxiliary.h"
#include "models/method.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"

namespace ganymede {
namespace {

void check(const std::string& network, const std::map<std::string, std::string>& changes,
           std::int64_t batch) {
  Settings settings;
  settings["gan.network"] = {network, "test"};
  for (const auto* options : {&test::narrow_options(network), &changes})
    for (const auto& [key, value] : *options) settings[network + "." + key] = {value, "test"};
  const auto recipe = make_method_recipe("adversarial", settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  recipe->check(batch);
}

TEST(NetworkOptions, OfTheNarrowVersionsAreTaken) {
  for (const std::string& network : gan_network_names()) EXPECT_NO_THROW(check(network, {}, 12)) << network;
}

// Facts of a published critic that has it (PyTorch-StudioGAN's WGAN-GP) are no example.
TEST(NetworkOptions, WarnOfBatchNormInACriticWithAPenalty) {
  const auto warnings = [](const std::string& penalty, const std::string& norm) {
    Settings settings{{"gan.network", {"dcgan", "test"}},
                      {"gan.gradient_penalty", {penalty, "test"}},
                      {"dcgan.discriminator_norm", {norm, "test"}}};
    const auto recipe = make_method_recipe("adversarial", settings);
    OptionSchema schema;
    recipe->describe(schema);
    schema.apply(settings);
    return recipe->warnings(1);
  };
  ASSERT_EQ(warnings("10", "batch").size(), 1u);
  EXPECT_NE(warnings("10", "batch")[0].find("set dcgan.discriminator_norm = layer"), std::string::npos);
  EXPECT_TRUE(warnings("0", "batch").empty());
  EXPECT_TRUE(warnings("10", "layer").empty());
}

TEST(NetworkOptions, WarnOfACriticWhoseSlopeNothingBounds) {
  const auto warned = [](const std::string& key, const std::string& value, const std::string& network = "dcgan") {
    Settings settings{{"gan.network", {network, "test"}}, {"gan.loss", {"wasserstein", "test"}}};
    settings[key] = {value, "test"};
    const auto recipe = make_method_recipe("adversarial", settings);
    OptionSchema schema;
    recipe->describe(schema);
    schema.apply(settings);
    return std::ranges::any_of(recipe->warnings(1), [](const auto& text) { return text.find("slope") != text.npos; });
  };
  EXPECT_TRUE(warned("gan.d_steps", "5"));
  EXPECT_TRUE(warned("sngan.discriminator_spectral_norm", "false", "sngan"));
  EXPECT_FALSE(warned("sngan.discriminator_spectral_norm", "true", "sngan"));
  EXPECT_FALSE(warned("gan.weight_clip", "0.01"));
  EXPECT_FALSE(warned("gan.gradient_penalty", "10"));
  EXPECT_FALSE(warned("gan.lecam", "0.1"));
  EXPECT_FALSE(warned("gan.loss", "hinge"));
}

TEST(NetworkOptions, ThatDoNotFitTogetherAreRefused) {
  const struct {
    std::string network;
    std::map<std::string, std::string> changes;
    std::string named;  ///< what the message must name
  } cases[] = {
      {"biggan_deep", {{"resolution", "48"}}, "biggan_deep.resolution = 48"},
      {"biggan_deep", {{"generator_channels", "6"}}, "biggan_deep.generator_channels = 6"},
      {"biggan_deep", {{"attention", "32"}}, "biggan_deep.attention = 32"},
      {"dcgan", {{"resolution", "24"}}, "dcgan.resolution = 24"},
      {"dcgan", {{"minibatch_kernels", "2"}, {"minibatch_group", "5"}}, "dcgan.minibatch_group = 5"},
      {"dcgan", {{"discriminator_norm", "group"}, {"norm_groups", "3"}}, "dcgan.norm_groups = 3"},
      {"sngan", {{"discriminator_norm", "layer"}}, "discriminator_spectral_norm"},
      {"sngan",
       {{"discriminator_norm", "group"}, {"norm_groups", "3"}, {"discriminator_spectral_norm", "false"}},
       "sngan.norm_groups = 3"},
      {"progressive", {{"resolution", "24"}}, "progressive.resolution = 24"},
      {"progressive", {{"stage", "32"}}, "progressive.stage = 32"},
      {"progressive", {{"channel_base", "7"}}, "progressive.channel_base = 7"},
      {"progressive", {{"deviation_group", "5"}}, "progressive.deviation_group = 5"},
      {"sngan", {{"resolution", "48"}}, "sngan.resolution = 48"},
      {"sngan", {{"attention", "24"}}, "sngan.attention = 24"},
      {"sngan", {{"attention", "16"}}, "sngan.attention = 16"},  // 4 channels
      {"stylegan", {{"resolution", "24"}}, "stylegan.resolution = 24"},
      {"stylegan", {{"stage", "32"}}, "stylegan.stage = 32"},
      {"stylegan", {{"deviation_group", "5"}}, "stylegan.deviation_group = 5"},
      {"stylegan2", {{"resolution", "24"}}, "stylegan2.resolution = 24"},
      {"stylegan2", {{"channel_base", "15"}}, "stylegan2.channel_base = 15"},
      {"stylegan2", {{"deviation_group", "5"}}, "stylegan2.deviation_group = 5"},
  };
  for (const auto& [network, changes, named] : cases) {
    try {
      check(network, changes, 12);
      ADD_FAILURE() << named << " was taken";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
}

// Gradients and weights stay float32: only the maps between layers are rounded.
TEST(Networks, TrainInHalfPrecision) {
  for (const std::string& network : gan_network_names()) {
    const test::SmallGanOptions options{.network = network, .batch = 12, .dtype = at::kFloat};
    test::SmallGanOptions half = options;
    half.activations = at::kBFloat16;
    test::SmallGan full_run(options, test::world(), test::world()),
        half_run(half, test::world(), test::world());
    double full = 0, rounded = 0;
    for (const auto& [name, figure] : full_run.train(3)) full += figure;
    for (const auto& [name, figure] : half_run.train(3)) rounded += figure;
    EXPECT_TRUE(std::isfinite(rounded)) << network;
    EXPECT_NE(full, rounded) << network << ": bfloat16 was not used";
    EXPECT_NEAR(full, rounded, 0.1 * (1 + std::abs(full))) << network;
    for (const auto& [name, tensor] : half_run.state())
      EXPECT_TRUE(at::isfinite(tensor).all().item<bool>()) << network << ": " << name;
  }
}

TEST(Losses, TrainInHalfPrecision) {
  for (const std::string& loss : gan_loss_names()) {
    test::SmallGanOptions options{.network = make_gan_loss(loss)->needs().autoencoder ? "autoencoding" : "biggan",
                                  .batch = 12,
                                  .options = {{"gan.loss", loss}},
                                  .dtype = at::kFloat};
    const auto first_step = [&](std::optional<at::ScalarType> activations) {
      options.activations = activations;
      test::SmallGan run(options, test::world(), test::world());
      const Figures figures = run.train(1);
      for (const auto& [name, tensor] : run.state())
        EXPECT_TRUE(at::isfinite(tensor).all().item<bool>()) << loss << ": " << name;
      return std::map<std::string, double>(figures.begin(), figures.end());
    };
    const auto full = first_step(std::nullopt), half = first_step(at::kBFloat16);
    for (const char* figure : {"loss_d", "loss_g"}) {
      EXPECT_NE(half.at(figure), full.at(figure)) << loss << ": " << figure << " was not rounded";
      EXPECT_NEAR(half.at(figure), full.at(figure), 0.05 + 0.03 * std::abs(full.at(figure))) << loss << ": " << figure;
    }
  }
}

// A penalty is a gradient of a gradient of rounded, normalised maps.
TEST(Networks, TrainCriticsWithNormsInHalfPrecision) {
  for (const std::string norm : {"layer", "instance", "group"})
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      test::SmallGanOptions options{.network = "dcgan",
                                    .batch = 6,
                                    .options = {{"gan.loss", "wasserstein"},
                                                {"gan.gradient_penalty", "10"},
                                                {"dcgan.discriminator_norm", norm},
                                                {"dcgan.norm_groups", "2"}},
                                    .dtype = at::kFloat};
      const auto penalty = [&](std::optional<at::ScalarType> activations) {
        options.activations = activations;
        test::SmallGan run(options, test::world(), test::world());
        for (const Player* player : run.method().players())
          for (const auto& [name, tensor] : player->state())
            if (name.ends_with("/guard/scale")) at::Tensor(tensor).fill_(256);  // nothing overflows
        for (const auto& [name, figure] : run.train(1))
          if (name == "penalty") return figure;
        return 0.0;
      };
      const double full = penalty(std::nullopt), rounded = penalty(type);
      EXPECT_NE(full, rounded) << norm << ": narrow maps were not used";
      EXPECT_NEAR(full, rounded, 0.1 * std::abs(full)) << norm;
    }
}

// A head's costs are of features that rounded maps made; they are figures of float32 themselves.
TEST(Networks, TrainWithAuxiliariesAndOldTricksInHalfPrecision) {
  for (const std::string& auxiliary : gan_auxiliary_names()) {
    if (auxiliary == "none") continue;
    const test::SmallGanOptions options{
        .network = "dcgan",
        .batch = 6,
        .options = {{"gan.auxiliary", auxiliary},
                    {"gan.loss", "logistic"},
                    {"dcgan.conditioning", "generator"},
                    {"dcgan.classes", "5"},
                    {"dcgan.latent", "20"},
                    {"dcgan.generator_norm", auxiliary == "infogan" ? "batch" : "virtual"},
                    {"dcgan.minibatch_kernels", "3"},
                    {"dcgan.latent_distribution", "normal"}},
        .dtype = at::kFloat};
    test::SmallGanOptions half = options;
    half.activations = at::kBFloat16;
    const auto cost = [](const test::SmallGanOptions& chosen) {
      test::SmallGan run(chosen, test::world(), test::world());
      for (const auto& [name, figure] : run.train(3))
        if (name == "auxiliary_d") return figure;
      return 0.0;
    };
    const double full = cost(options), rounded = cost(half);
    EXPECT_NE(full, rounded) << auxiliary << ": bfloat16 was not used";
    EXPECT_NEAR(full, rounded, 0.1 * std::abs(full)) << auxiliary;
  }
}

// Their maps are filtered, modulated or normalised in float16 too; the other networks' layers are BigGAN's in that
// (adversarial_test.cpp).
TEST(Networks, StyleGansTrainInFloat16) {
  for (const std::string network : {"stylegan", "stylegan2"}) {
    test::SmallGan run({.network = network, .batch = 6, .dtype = at::kFloat, .activations = at::kHalf},
                       test::world(), test::world());
    for (const Player* player : run.method().players())
      for (const auto& [name, tensor] : player->state())
        if (name.ends_with("/guard/scale")) at::Tensor(tensor).fill_(256);  // nothing overflows
    run.train(1);
    for (const Player* player : run.method().players())
      EXPECT_EQ(player->guard().skipped().item<double>(), 0) << network << ": " << player->name();
  }
}

// Path lengths and R1 through ADA are gradients of gradients of rounded maps.
TEST(Networks, StyleGan2sRegularisersTrainInHalfPrecision) {
  test::SmallGanOptions options{.network = "stylegan2",
                                .batch = 6,
                                .options = {{"stylegan2.resolution", "8"},
                                            {"gan.path_length", "2"},
                                            {"gan.gradient_penalty", "1"},
                                            {"gan.gradient_penalty_kind", "r1"},
                                            {"gan.gradient_penalty_apart", "true"},
                                            {"ada.geometry", "true"},
                                            {"ada.color", "true"},
                                            {"ada.p", "0.8"}},
                                .dtype = at::kFloat};
  const auto first_step = [&](std::optional<at::ScalarType> activations) {
    options.activations = activations;
    test::SmallGan run(options, test::world(), test::world());
    for (const Player* player : run.method().players())
      for (const auto& [name, tensor] : player->state())
        if (name.ends_with("/guard/scale")) at::Tensor(tensor).fill_(256);  // nothing overflows
    const Figures figures = run.train(1);
    for (const Player* player : run.method().players())
      EXPECT_EQ(player->guard().skipped().item<double>(), 0) << player->name();
    for (const auto& [name, tensor] : run.state())
      EXPECT_TRUE(at::isfinite(tensor).all().item<bool>()) << name;
    return std::map<std::string, double>(figures.begin(), figures.end());
  };
  const auto full = first_step(std::nullopt);
  for (const auto& [type, bound] : {std::pair{at::kBFloat16, 0.1}, {at::kHalf, 0.02}}) {
    const auto half = first_step(type);
    for (const char* figure : {"penalty", "path_length", "path_penalty"}) {
      EXPECT_NEAR(half.at(figure), full.at(figure), bound * full.at(figure)) << figure << c10::toString(type);
      EXPECT_NE(half.at(figure), full.at(figure)) << figure << " was not rounded";
    }
  }
}

}  // namespace
}  // namespace ganymede
