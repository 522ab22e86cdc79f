// Every loss and every auxiliary task with every network, and every regulariser: any number of ranks, twice the same,
// continued from what a checkpoint holds.

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/gan/auxiliary.h"
#include "models/gan/loss.h"
#include "models/gan/network.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::narrow_options;
using test::same;
using test::SmallGan;
using test::SmallGanOptions;
using test::world;

using Options = std::map<std::string, std::string>;

// Where a true gradient is zero, Adam's eps of everyday makes steps of its rounding errors.
const Options steady = {{"generator.eps", "1e-3"}, {"discriminator.eps", "1e-3"}};

struct Variant {
  std::string name;
  Options options;
  std::int64_t accumulate = 1;
  std::string network = "biggan";
};

void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

/// The networks that a loss is tried with at length.
std::string network_for(const std::string& loss) {
  return make_gan_loss(loss)->needs().autoencoder ? "autoencoding" : "biggan";
}

/// What an auxiliary task asks of a pair of networks, as options; empty where it is not defined.
Options with_auxiliary(const std::string& auxiliary, const std::string& network) {
  const bool chooses =
      network != "autoencoding" && network != "biggan" && network != "biggan_deep" && network != "stylegan2";
  Options options{{"gan.auxiliary", auxiliary}};
  if (chooses) options.insert({{network + ".conditioning", "generator"}, {network + ".classes", "5"}});
  options[network == "biggan" ? "biggan.chunk" : network + ".latent"] = "20";
  if (network == "dcgan" || network == "fully_connected")
    options[network + ".latent_distribution"] = "normal";
  if (make_gan_networks(network)->has_styles()) options[network + ".style_mixing"] = "0";
  const auto task = make_gan_auxiliary(auxiliary);
  return chooses || task->codes().width() > 0 ? options : Options{};
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string& loss : gan_loss_names()) {
    const GanLossNeeds needs = make_gan_loss(loss)->needs();
    all.push_back({"loss_" + loss, {{"gan.loss", loss}}, 1, network_for(loss)});
    if (needs.means || needs.features || needs.autoencoder)
      all.push_back({"accumulated_" + loss, {{"gan.loss", loss}}, 2, network_for(loss)});
  }
  for (const std::string& auxiliary : gan_auxiliary_names()) {
    if (auxiliary == "none") continue;
    Variant variant{"auxiliary_" + auxiliary, with_auxiliary(auxiliary, "sngan"), 2, "sngan"};
    variant.options["gan.loss"] = "logistic";
    all.push_back(std::move(variant));
  }
  const std::vector<Variant> regularisers{
      {"dcgan_classes", {{"dcgan.conditioning", "concatenation"}, {"dcgan.classes", "5"}}, 1, "dcgan"},
      {"minibatch_discrimination",
       {{"dcgan.minibatch_kernels", "3"}, {"dcgan.minibatch_width", "2"}},
       2,
       "dcgan"},
      {"virtual_batch_norm",
       {{"dcgan.generator_norm", "virtual"}, {"dcgan.reference_batch", "3"}},
       1,
       "dcgan"},
      {"dcgan_classes_in_g", {{"dcgan.conditioning", "generator"}, {"dcgan.classes", "5"}}, 1, "dcgan"},
      {"dcgan_text",
       {{"dcgan.conditioning", "text"}, {"text.embedding", "7"}, {"text.compressed", "3"}},
       2,
       "dcgan"},
      {"dcgan_text_between",
       {{"dcgan.conditioning", "text"},
        {"text.embedding", "7"},
        {"text.compressed", "3"},
        {"text.interpolation", "0.5"},
        {"gan.loss", "logistic"},
        {"gan.d_steps", "2"}},
       2,
       "dcgan"},
      {"dcgan_text_plain",
       {{"dcgan.conditioning", "text"}, {"text.embedding", "7"}, {"text.matching_aware", "false"}},
       1,
       "dcgan"},
      {"ebgan_alone",
       {{"gan.loss", "ebgan"}, {"ebgan.margin", "0.01"}, {"ebgan.pull_away", "0"}},
       1,
       "autoencoding"},
      {"autoencoding_l2", {{"gan.loss", "ebgan"}, {"autoencoding.error", "l2"}}, 1, "autoencoding"},
      {"smooth_logistic", {{"gan.loss", "logistic"}, {"logistic.real_target", "0.9"}}},
      {"smooth_minimax", {{"gan.loss", "minimax"}, {"minimax.real_target", "0.9"}}},
      {"lsgan_pearson", {{"gan.loss", "lsgan"}, {"lsgan.a", "-1"}, {"lsgan.c", "0"}}},
      {"wgan_gp", {{"gan.gradient_penalty", "10"}}},
      {"target", {{"gan.gradient_penalty", "10"}, {"gan.gradient_penalty_target", "2"}}},
      {"dragan", {{"gan.gradient_penalty", "10"}, {"gan.gradient_penalty_kind", "dragan"}}, 2},
      {"r1", {{"gan.gradient_penalty", "1"}, {"gan.gradient_penalty_kind", "r1"}}},
      {"r2", {{"gan.gradient_penalty", "1"}, {"gan.gradient_penalty_kind", "r2"}}},
      {"lazy_r1",
       {{"gan.gradient_penalty", "1"},
        {"gan.gradient_penalty_kind", "r1"},
        {"gan.gradient_penalty_every", "2"}}},
      {"drift", {{"gan.drift", "0.1"}}},
      {"clip", {{"gan.loss", "wasserstein"}, {"gan.weight_clip", "0.05"}}},
      {"rmsprop",
       {{"generator.optimizer", "rmsprop"},
        {"discriminator.optimizer", "rmsprop"},
        {"discriminator.beta1", "0"}}},
      {"lecam", {{"gan.lecam", "0.3"}, {"gan.lecam_start", "1"}}, 2},
      {"cr", {{"gan.cr_real", "10"}}},
      {"bcr", {{"gan.cr_real", "10"}, {"gan.cr_fake", "10"}}, 2},
      {"zcr_d", {{"gan.zcr_d", "20"}}},
      {"zcr_g", {{"gan.zcr_g", "0.5"}}},
      {"color", {{"gan.diff_augment_color", "true"}}},
      {"translation", {{"gan.diff_augment_translation", "true"}}},
      {"cutout", {{"gan.diff_augment_cutout", "true"}}, 2},
      {"top_k", {{"gan.top_k", "0.5"}, {"gan.top_k_decay", "0"}, {"gan.top_k_every", "1"}}, 2},
      {"feature_matching", {{"gan.feature_matching", "1"}}},
      {"historical_average", {{"gan.historical_average", "0.1"}}},
      {"apart_r1",
       {{"gan.gradient_penalty", "1"},
        {"gan.gradient_penalty_kind", "r1"},
        {"gan.gradient_penalty_every", "2"},
        {"gan.gradient_penalty_apart", "true"}},
       2},
      // Half a micro-batch: with 4 ranks one has no image in it.
      {"path_length", {{"gan.path_length", "2"}, {"gan.path_length_every", "2"}}, 2, "stylegan2"},
      {"ada_blitting", {{"ada.blitting", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada_geometry", {{"ada.geometry", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada_color", {{"ada.color", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada_filter", {{"ada.filter", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada_noise", {{"ada.noise", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada_cutout", {{"ada.cutout", "true"}, {"ada.p", "0.8"}, {"ada.target", "0"}}},
      {"ada",
       {{"ada.blitting", "true"},
        {"ada.geometry", "true"},
        {"ada.color", "true"},
        {"ada.filter", "true"},
        {"ada.noise", "true"},
        {"ada.cutout", "true"},
        {"ada.p", "0.5"},
        {"ada.every", "2"},
        {"ada.kimg", "0.1"},
        {"gan.gradient_penalty", "1"},
        {"gan.gradient_penalty_kind", "r1"}},
       2,
       "stylegan2"},
      {"layer_norm",
       {{"dcgan.discriminator_norm", "layer"}, {"gan.loss", "wasserstein"}, {"gan.gradient_penalty", "10"}},
       1,
       "dcgan"},
      {"instance_norm",
       {{"dcgan.discriminator_norm", "instance"},
        {"gan.loss", "wasserstein"},
        {"gan.gradient_penalty", "10"}},
       1,
       "dcgan"},
      {"group_norm",
       {{"sngan.discriminator_norm", "group"},
        {"sngan.norm_groups", "2"},
        {"sngan.discriminator_spectral_norm", "false"},
        {"gan.loss", "wasserstein"},
        {"gan.gradient_penalty", "10"}},
       2,
       "sngan"},
      {"ema_ramp", {{"generator.ema_ramp", "0.5"}, {"generator.ema_start", "0"}, {"gan.loss", "logistic"}}},
      // Here, and not where gradients of zero are told apart: its convolutions have biases in front of batch norms.
      {"counted_dcgan", {{"dcgan.variant", "counted"}, {"gan.loss", "logistic"}}, 2, "dcgan"},
      {"counted_dcgan_wgan_gp",
       {{"dcgan.variant", "counted"}, {"gan.loss", "wasserstein"}, {"gan.gradient_penalty", "10"}},
       1,
       "dcgan"},
  };
  all.insert(all.end(), regularisers.begin(), regularisers.end());
  return all;
}

/// Every loss with every other pair of networks that it is defined for, the critic with its gradient penalty; and every
/// auxiliary task, with the loss that all of them take.
std::vector<Variant> pairs() {
  std::vector<Variant> all;
  for (const std::string& network : gan_network_names())
    for (const std::string& loss : gan_loss_names()) {
      if (network == network_for(loss)) continue;
      if (make_gan_loss(loss)->needs().autoencoder && !make_gan_networks(network)->autoencodes()) continue;
      Variant pair{network + "_" + loss, {{"gan.loss", loss}}, 1, network};
      if (loss == "wasserstein") pair.options["gan.gradient_penalty"] = "10";
      all.push_back(std::move(pair));
    }
  for (const std::string& network : gan_network_names())
    for (const std::string& auxiliary : gan_auxiliary_names()) {
      if (auxiliary == "none" || network == "sngan") continue;
      Options options = with_auxiliary(auxiliary, network);
      if (options.empty()) continue;
      options["gan.loss"] = "logistic";
      all.push_back({network + "_" + auxiliary, options, 1, network});
    }
  return all;
}

SmallGanOptions setting(const Variant& variant) {
  // Neither 2, 3 nor 4 ranks divide the micro-batch, but where groups of three must.
  const bool groups = narrow_options(variant.network).contains("deviation_group");
  SmallGanOptions options{.network = variant.network,
                          .batch = (groups ? 6 : 5) * variant.accumulate,
                          .accumulate = variant.accumulate};
  options.options = steady;
  for (const auto& [key, value] : variant.options) options.options[key] = value;
  return options;
}

constexpr std::int64_t steps = 3;

/// Holds a run of so many steps on all ranks, which ended with `state`, to the same on one.
void expect_as_on_one_rank(const SmallGanOptions& options, std::int64_t count, const NamedTensors& state) {
  for (const auto& [name, tensor] : state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
  // One rank's verdict is enough; the others wait.
  std::string where;
  double worst = 0;
  if (world().rank() == 0 && world().size() > 1) {
    const auto one = make_single_communicator();
    SmallGan reference(options, *one, *one);
    reference.train(count);
    worst = test::difference(state, reference.state(), where);
  }
  EXPECT_TRUE(test::everywhere(worst <= 1e-9)) << where << " is off by " << worst;
}

/// What a run on all ranks ends with. Collective at a variant's first call.
const NamedTensors& trained(const Variant& variant) {
  static std::map<std::string, NamedTensors> outcomes;
  const auto found = outcomes.find(variant.name);
  if (found != outcomes.end()) return found->second;
  SmallGan run(setting(variant), world(), world());
  run.train(steps);
  return outcomes[variant.name] = run.state();
}

NamedTensors weights(const NamedTensors& state) {
  NamedTensors found;
  std::ranges::copy_if(state, std::back_inserter(found),
                       [](const auto& item) { return item.first.find("/weight/") != item.first.npos; });
  return found;
}

class Zoo : public testing::TestWithParam<Variant> {};

TEST_P(Zoo, TrainsTheSameOnAnyNumberOfRanks) {
  expect_as_on_one_rank(setting(GetParam()), steps, trained(GetParam()));
}

TEST_P(Zoo, RepeatsAndContinuesBitForBit) {
  const SmallGanOptions options = setting(GetParam());
  SmallGan interrupted(options, world(), world()), continued(options, world(), world());
  interrupted.train(steps - 1);
  continued.continue_from(interrupted);
  continued.train(1);
  EXPECT_TRUE(test::everywhere(same(continued.state(), trained(GetParam()))));
}

TEST_P(Zoo, IsNotThePlainHingeLoss) {
  const Variant& variant = GetParam();
  if (variant.name == "loss_hinge") return;
  const Variant plain{fmt::format("plain {} {}", variant.network, variant.accumulate),
                      {},
                      variant.accumulate,
                      variant.network};
  EXPECT_FALSE(same(weights(trained(variant)), weights(trained(plain))));
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, testing::ValuesIn(variants()),
                         [](const auto& variant) { return variant.param.name; });

class Pairs : public testing::TestWithParam<Variant> {};

TEST_P(Pairs, TrainTheSameOnAnyNumberOfRanksAndContinueBitForBit) {
  const SmallGanOptions options = setting(GetParam());
  SmallGan run(options, world(), world()), continued(options, world(), world());
  run.train(1);
  continued.continue_from(run);
  run.train(1);
  continued.train(1);
  const NamedTensors state = run.state();
  EXPECT_TRUE(test::everywhere(same(continued.state(), state)));
  expect_as_on_one_rank(options, 2, state);
}

INSTANTIATE_TEST_SUITE_P(All, Pairs, testing::ValuesIn(pairs()),
                         [](const auto& pair) { return pair.param.name; });

TEST(ZooOptions, RefusesWhatDoesNotFitTogether) {
  const auto refuses = [](const Options& changes, const std::string& word,
                          const std::string& network = "biggan") {
    try {
      SmallGan(SmallGanOptions{.network = network, .batch = 12, .options = changes}, world(), world());
    } catch (const Error& error) {
      return error.code() == ExitCode::options && std::string(error.what()).find(word) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses({{"gan.loss", "relativistic"}, {"gan.top_k", "0.5"}}, "top-k"));
  EXPECT_TRUE(refuses({{"gan.loss", "began"}}, "autoencod"));
  EXPECT_TRUE(refuses({{"gan.loss", "ebgan"}}, "autoencod"));
  EXPECT_TRUE(refuses({{"gan.feature_matching", "1"}, {"gan.top_k", "0.5"}}, "gan.feature_matching"));
  EXPECT_TRUE(refuses({{"gan.loss", "lsgan"}, {"lsgan.a", "1"}}, "lsgan"));
  EXPECT_TRUE(refuses({{"gan.loss", "logistic"}, {"logistic.real_target", "1.1"}}, "logistic.real_target"));
  EXPECT_TRUE(refuses({{"gan.gradient_penalty_kind", "r3"}}, "r2"));
  EXPECT_TRUE(refuses({{"generator.optimizer", "rmsprop"}, {"generator.beta1", "0.5"}}, "beta1"));
  EXPECT_TRUE(refuses({{"gan.lecam_decay", "1"}}, "gan.lecam_decay"));
  EXPECT_TRUE(refuses({{"ada.color", "true"}, {"gan.diff_augment_color", "true"}}, "gan.diff_augment"));
  EXPECT_TRUE(refuses({{"ada.color", "true"}}, "3 channels", "fully_connected"));
  EXPECT_TRUE(refuses({{"ada.geometry", "true"}}, "square", "fully_connected"));
  EXPECT_TRUE(refuses({{"ada.filter", "true"}}, "at least 8 x 8", "fully_connected"));
  EXPECT_TRUE(refuses({{"ada.cutout", "true"}}, "at least 8 x 8", "fully_connected"));
  EXPECT_TRUE(refuses({{"gan.loss", "began"}, {"ada.color", "true"}}, "ada.target", "autoencoding"));
  EXPECT_TRUE(refuses({{"gan.gradient_penalty", "1"}, {"gan.gradient_penalty_apart", "true"}}, "r1"));
  EXPECT_TRUE(refuses({{"gan.path_length", "2"}}, "styles"));
  EXPECT_TRUE(refuses({{"ada.p", "0.3"}}, "ada.p"));
  EXPECT_TRUE(refuses({{"gan.loss", "ebgan"}, {"gan.feature_matching", "1"}}, "pull_away", "autoencoding"));
  EXPECT_TRUE(refuses({{"gan.path_length", "2"}, {"gan.path_length_shrink", "5"}}, "gan.path_length_shrink",
                      "stylegan2"));
  EXPECT_TRUE(refuses({{"logistic.real_target", "0.9"}}, "logistic.real_target"));  // the loss is hinge
  EXPECT_TRUE(refuses({{"gan.auxiliary", "acgan"}}, "is told the class"));
  EXPECT_TRUE(refuses({{"gan.auxiliary", "acgan"}, {"sngan.conditioning", "none"}}, "not told", "sngan"));
  const Options text{{"dcgan.conditioning", "text"}};
  const auto with = [&](const std::string& key, const std::string& value) {
    Options options = text;
    options[key] = value;
    return options;
  };
  EXPECT_TRUE(refuses({{"text.interpolation", "0.5"}}, "dcgan.conditioning = text"));
  EXPECT_TRUE(refuses(with("gan.auxiliary", "infogan"), "follow a text", "dcgan"));
  EXPECT_TRUE(refuses(with("dcgan.generator_norm", "virtual"), "has no texts", "dcgan"));
  Options ranked = with("text.interpolation", "0.5");
  ranked["gan.top_k"] = "0.5";
  EXPECT_TRUE(refuses(ranked, "gan.top_k", "dcgan"));
  for (const std::string& network : gan_network_names())
    for (const std::string loss : {"began", "ebgan"})
      EXPECT_EQ(refuses({{"gan.loss", loss}}, "autoencod", network), network != "autoencoding")
          << network << " with " << loss;
}

}  // namespace
}  // namespace ganymede
