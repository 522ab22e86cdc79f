// Every method, every loss and every network learns eight images by heart: what it then draws lies by them, and by
// most of them where labels tell them apart.

#include <gtest/gtest.h>

#include "core/philox.h"
#include "models/gan/loss.h"
#include "models/gan/network.h"
#include "models/method.h"

namespace ganymede {
namespace {

using Options = std::map<std::string, std::string>;

constexpr std::int64_t images = 8, drawn = 64;

struct Learner {
  std::string name, method;
  Options options;
  std::int64_t steps = 400;
  std::int64_t least_found = 7;  ///< of the eight
  double furthest = 0.65;  ///< that samples may lie away; grey is 0.71 away
};

void PrintTo(const Learner& learner, std::ostream* out) {
  *out << learner.name;
}

std::unique_ptr<MethodRecipe> recipe_of(const Learner& learner) {
  Settings settings;
  for (const auto& [key, value] : learner.options) settings[key] = {value, learner.name};
  auto recipe = make_method_recipe(learner.method, settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  recipe->check(images);
  return recipe;
}

/// Eight images [8, C, H, W] of two by two plain fields, any two of which differ in two fields at least.
at::Tensor fields(const ImageSpec& spec) {
  const at::Tensor number = at::arange(images);
  const at::Tensor bits = at::stack({number % 2, number.floor_divide(2) % 2, number.floor_divide(4)}, 1);
  const at::Tensor signs =
      at::cat({bits, bits.sum(1, true) % 2}, 1).view({images, 1, 2, 2}).to(at::kFloat) * 1.6 - 0.8;
  return at::upsample_nearest2d(signs, {spec.height, spec.width}).repeat({1, spec.channels, 1, 1});
}

/// What translation starts from: eight images of two by two plain fields too, of any grey.
at::Tensor sources_of(const ImageSpec& spec) {
  const RandomStream greys({.seed = 6, .phase = "data", .stream = "sources"});
  return at::upsample_nearest2d(
      (greys.uniform(0, images, spec.source_channels * 4, at::kFloat) * 2 - 1).view({images, -1, 2, 2}),
      {spec.height, spec.width});
}

struct Closeness {
  double away;  ///< of a sample from the nearest image, over the least distance of two images; the mean
  std::int64_t found;  ///< images that some sample is nearest to, and nearer than half that distance
};

Closeness closeness(const at::Tensor& samples, const at::Tensor& real) {
  const at::Tensor flat = real.flatten(1).to(at::kDouble);
  const double apart = at::pdist(flat).min().item<double>();
  const auto [distance, image] = at::cdist(samples.flatten(1).to(at::kDouble), flat).min(1);
  const at::Tensor hit = at::bincount(image.masked_select(distance < apart / 2), {}, images);
  return {distance.mean().item<double>() / apart, hit.gt(0).sum().item<std::int64_t>()};
}

Closeness learn(const Learner& learner) {
  const auto recipe = recipe_of(learner);
  const ImageSpec spec = recipe->images();
  const at::Tensor real = fields(spec), labels = at::arange(images) % spec.classes;
  const at::Tensor sources = spec.source_channels > 0 ? sources_of(spec) : at::Tensor();
  const auto alone = make_single_communicator();
  const auto method = recipe->build(
      {.gradients = *alone, .batch_norm = *alone, .batch = images, .seed = 5, .bucket_bytes = 1 << 20});
  method->initialise();
  std::int64_t position = 0;
  for (std::int64_t step = 1; step <= learner.steps; ++step)
    method->step(step, [&] {
      Batch next{real.contiguous(at::MemoryFormat::ChannelsLast), labels, position, {0, images}};
      next.sources = sources;
      position += images;
      return next;
    });
  SampleOptions options{.ema = false, .batch_norm = "batch", .seed = 3};
  options.sources = [&](std::int64_t first, std::int64_t count) {
    return sources.index_select(0, (at::arange(count) + first) % images);
  };
  return closeness(method->sampler(options)->images(0, at::arange(drawn) % spec.classes), real);
}

/// A pair of networks wide enough for eight images, at its smallest size.
Options wide(const std::string& network) {
  const std::map<std::string, Options> table{
      {"autoencoding", {{"resolution", "16"}, {"channels", "8"}, {"latent", "16"}}},
      {"biggan",
       {{"resolution", "32"},
        {"classes", "8"},
        {"generator_channels", "8"},
        {"discriminator_channels", "8"},
        {"chunk", "4"},
        {"shared", "8"}}},
      {"biggan_deep",
       {{"resolution", "32"},
        {"classes", "8"},
        {"generator_channels", "8"},
        {"discriminator_channels", "8"},
        {"latent", "16"},
        {"shared", "8"}}},
      {"dcgan",
       {{"resolution", "16"},
        {"variant", "paper"},
        {"latent", "16"},
        {"generator_channels", "16"},
        {"discriminator_channels", "16"}}},
      {"fully_connected",
       {{"image_channels", "1"},
        {"height", "4"},
        {"width", "4"},
        {"latent", "8"},
        {"latent_distribution", "normal"},
        {"classes", "8"},
        {"generator_widths", "64, 64"},
        {"discriminator_widths", "64, 64"},
        {"pieces", "2"}}},
      {"progressive",
       {{"resolution", "8"},
        {"classes", "8"},
        {"conditioning", "concatenation"},
        {"channel_base", "256"},
        {"most_channels", "32"},
        {"latent", "16"},
        {"deviation_group", "4"}}},
      {"sngan",
       {{"resolution", "32"},
        {"classes", "8"},
        {"conditioning", "projection"},
        {"generator_channels", "16"},
        {"discriminator_channels", "16"},
        {"latent", "16"}}},
      {"stylegan",
       {{"resolution", "8"},
        {"classes", "8"},
        {"conditioning", "projection"},
        {"channel_base", "256"},
        {"most_channels", "32"},
        {"latent", "16"},
        {"style", "16"},
        {"mapping_layers", "2"},
        {"style_mixing", "0"},
        {"deviation_group", "4"}}},
      {"stylegan2",
       {{"resolution", "8"},
        {"classes", "8"},
        {"conditioning", "projection"},
        {"channel_base", "256"},
        {"most_channels", "32"},
        {"latent", "16"},
        {"style", "16"},
        {"mapping_layers", "2"},
        {"style_mixing", "0"},
        {"deviation_group", "4"}}},
  };
  Options options{{"gan.network", network}};
  for (const auto& [key, value] : table.at(network)) options[network + "." + key] = value;
  for (const std::string player : {"generator", "discriminator"}) {
    options[player + ".lr"] = "2e-3";
    options[player + ".beta1"] = "0.5";
    options[player + ".beta2"] = "0.99";
  }
  return options;
}

Learner gan(const std::string& name, const std::string& network, const Options& options, std::int64_t steps) {
  Learner learner{.name = name, .method = "adversarial", .options = wide(network), .steps = steps};
  for (const auto& [key, value] : options) learner.options[key] = value;
  return learner;
}

std::vector<Learner> learners() {
  std::vector<Learner> all;
  const Options r1{{"gan.gradient_penalty", "0.2"}, {"gan.gradient_penalty_kind", "r1"}};
  for (const std::string& loss : gan_loss_names()) {
    const bool autoencoder = make_gan_loss(loss)->needs().autoencoder;
    Options options = autoencoder ? Options{} : r1;
    if (loss == "wasserstein") options = {{"gan.gradient_penalty", "1"}};
    options["gan.loss"] = loss;
    if (!autoencoder) options["fully_connected.conditioning"] = "concatenation";
    all.push_back(gan("loss_" + loss, autoencoder ? "autoencoding" : "fully_connected", options, 600));
    Learner& learner = all.back();
    if (!autoencoder) continue;
    for (const std::string player : {"generator", "discriminator"}) learner.options[player + ".lr"] = "1e-3";
    learner.steps = 1000;
    learner.least_found = 4;
    if (loss == "ebgan") learner.options["ebgan.pull_away"] = "1";  // what alone keeps its samples apart
    if (loss == "began") {
      learner.options["began.gamma"] = "1";
      learner.least_found = 0;  // nothing in it keeps samples apart, and no label tells the images apart
      learner.furthest = 0.68;
    }
  }
  for (const std::string& network : gan_network_names()) {
    if (make_gan_networks(network)->autoencodes() || network == "fully_connected") continue;
    Options options = r1;
    options["gan.loss"] = "logistic";
    if (network == "biggan_deep") options["gan.gradient_penalty"] = "20";
    if (network == "stylegan2") options["gan.gradient_penalty"] = "2";
    if (network == "progressive" || network.starts_with("stylegan"))
      for (const std::string player : {"generator", "discriminator"})
        options.insert({{player + ".lr", network == "stylegan2" ? "1e-2" : "5e-3"}, {player + ".beta1", "0"}});
    all.push_back(gan(network, network, options, network == "biggan" ? 200 : network == "dcgan" ? 600 : 400));
    // What takes long is looked at on its way.
    const std::map<std::string, std::int64_t> on_their_way{
        {"biggan", 2}, {"biggan_deep", 1}, {"dcgan", 6}, {"sngan", 3}, {"stylegan2", 5}};
    if (const auto least = on_their_way.find(network); least != on_their_way.end())
      all.back().least_found = least->second;
  }
  for (const std::string method : {"adversarial_autoencoder", "bigan", "vae_gan"}) {
    Learner learner{.name = method, .method = method, .options = wide("fully_connected"), .steps = 600};
    learner.options.insert(
        {{"encoders.network", "fully_connected"}, {"encoder.lr", "2e-3"}, {"encoder.beta1", "0.5"}});
    if (method == "vae_gan") learner.options["fully_connected.conditioning"] = "concatenation";
    if (method == "bigan") learner.least_found = 1;  // which knows no labels
    all.push_back(std::move(learner));
  }
  const std::map<std::string, Options> translations{
      {"pix2pix", {{"depth", "3"}, {"generator_channels", "12"}, {"dropout_blocks", "1"}, {"dropout", "0"}}},
      {"cyclegan", {{"blocks", "1"}, {"generator_channels", "12"}, {"identity", "0"}}}};
  for (const auto& [method, options] : translations) {
    Learner learner{.name = method,
                    .method = method,
                    .options = {{method + ".height", "8"},
                                {method + ".width", "8"},
                                {method + ".image_channels", "1"},
                                {method + ".discriminator_channels", "4"},
                                {method + ".patch_layers", "1"},
                                {"generator.lr", "5e-3"},
                                {"generator.eps", "1e-8"},
                                {"discriminator.eps", "1e-8"}},
                    .steps = method == "pix2pix" ? 150 : 400};
    if (method == "cyclegan") learner.least_found = 4;  // pairs are not told
    for (const auto& [key, value] : options) learner.options[method + "." + key] = value;
    all.push_back(std::move(learner));
  }
  const std::map<std::string, Options> denoisers{
      {"ddpmpp", {{"base", "16"}, {"channels", "16,32"}, {"blocks", "1"}, {"attention", "none"}, {"groups", "4"}}},
      {"dit", {{"depth", "2"}, {"width", "64"}, {"heads", "2"}}},
      {"unet", {{"channels", "16,32"}, {"blocks", "1"}, {"attention", "none"}, {"groups", "4"}}}};
  for (const auto& [network, options] : denoisers) {
    Learner learner{.name = "denoising_" + network,
                    .method = "denoising",
                    .options = {{"diffusion.network", network},
                                {"denoiser.lr", "2e-3"},
                                {"sampler.steps", "20"},
                                {"sampler.solver", "ddim"},
                                {network + ".resolution", "8"},
                                {network + ".image_channels", "1"},
                                {network + ".classes", "8"}},
                    .steps = network == "dit" ? 1500 : 1000};
    for (const auto& [key, value] : options) learner.options[network + "." + key] = value;
    all.push_back(std::move(learner));
  }
  return all;
}

class Overfit : public testing::TestWithParam<Learner> {};

TEST_P(Overfit, DrawsTheEightImages) {
  const Closeness found = learn(GetParam());
  fmt::print("{}: {:.3f} away, {} found\n", GetParam().name, found.away, found.found);
  EXPECT_LT(found.away, GetParam().furthest);
  EXPECT_GE(found.found, GetParam().least_found);
}

INSTANTIATE_TEST_SUITE_P(All, Overfit, testing::ValuesIn(learners()),
                         [](const auto& learner) { return learner.param.name; });

}  // namespace
}  // namespace ganymede
