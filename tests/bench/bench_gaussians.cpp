// bench_gaussians [steps=N] [seed=N] [NAME ...]: how many modes of a mixture of 25 Gaussians each loss finds.
//
// The mixture of Lin et al. (arXiv 1712.04086, section 4.1), means on a 5x5 grid 2 apart and deviation 0.05, brought to
// unit variance as Gulrajani et al. (arXiv 1704.00028) do. 2500 points of G's average are drawn; one is good within three
// deviations of a mean, and a mean with a good point is a mode found. Networks: fully connected, points of the plane as
// images [2, 1, 1]. Penalties weigh 0.1, as Gulrajani et al. have it for such mixtures, not 10 as for images.

#include <ATen/Parallel.h>

#include <cstdio>
#include <span>

#include "core/error.h"
#include "core/philox.h"
#include "models/method.h"

namespace ganymede {
namespace {

using Options = std::map<std::string, std::string>;

constexpr std::int64_t batch = 256, drawn = 2500;
constexpr double spacing = 2 / 2.828, deviation = 0.05 / 2.828;

struct Row {
  const char* name;
  Options options;
};

const Options common{{"gan.network", "fully_connected"},
                     {"fully_connected.image_channels", "2"},
                     {"fully_connected.height", "1"},
                     {"fully_connected.width", "1"},
                     {"fully_connected.output", "linear"},
                     {"fully_connected.latent", "2"},
                     {"fully_connected.latent_distribution", "normal"},
                     {"fully_connected.generator_widths", "128, 128, 128"},
                     {"fully_connected.discriminator_widths", "128, 128, 128"},
                     {"fully_connected.pieces", "2"},
                     {"generator.lr", "1e-4"},
                     {"generator.beta1", "0.5"},
                     {"generator.ema", "0.999"},
                     {"discriminator.lr", "3e-4"},
                     {"discriminator.beta1", "0.5"}};

// Each with what its paper sets beside the loss.
const Row rows[] = {
    {"minimax", {{"gan.loss", "minimax"}}},
    {"logistic", {{"gan.loss", "logistic"}}},
    {"lsgan", {{"gan.loss", "lsgan"}}},
    {"hinge", {{"gan.loss", "hinge"}}},
    {"relativistic", {{"gan.loss", "relativistic"}}},
    {"relativistic_average", {{"gan.loss", "relativistic_average"}}},
    {"wgan-clip",
     {{"gan.loss", "wasserstein"},
      {"gan.weight_clip", "0.01"},
      {"gan.d_steps", "5"},
      {"generator.optimizer", "rmsprop"},
      {"generator.beta1", "0"},
      {"generator.beta2", "0.99"},
      {"generator.lr", "5e-5"},
      {"discriminator.optimizer", "rmsprop"},
      {"discriminator.beta1", "0"},
      {"discriminator.beta2", "0.99"},
      {"discriminator.lr", "5e-5"}}},
    {"wgan-gp",
     {{"gan.loss", "wasserstein"},
      {"gan.gradient_penalty", "0.1"},
      {"gan.d_steps", "5"},
      {"generator.beta2", "0.9"},
      {"discriminator.beta2", "0.9"}}},
    {"dragan",
     {{"gan.loss", "logistic"}, {"gan.gradient_penalty", "0.1"}, {"gan.gradient_penalty_kind", "dragan"}}},
    {"r1", {{"gan.loss", "logistic"}, {"gan.gradient_penalty", "0.1"}, {"gan.gradient_penalty_kind", "r1"}}},
    {"lecam", {{"gan.loss", "hinge"}, {"gan.lecam", "0.3"}}},
};

/// Points of the mixture by position.
at::Tensor points(std::int64_t first, std::int64_t count) {
  const RandomStream modes({.seed = 1, .phase = "mixture", .stream = "mode"});
  const RandomStream noise({.seed = 1, .phase = "mixture", .stream = "noise"});
  const at::Tensor mode = modes.integers(first, count, 25);
  const at::Tensor means = at::stack({mode % 5, mode.floor_divide(5)}, 1).to(at::kFloat) - 2;
  return (means * spacing + noise.normal(first, count, 2, at::kFloat) * deviation).view({count, 2, 1, 1});
}

struct Found {
  std::int64_t modes;
  double good;
};

Found judge(const at::Tensor& images) {
  const at::Tensor cell = images.view({-1, 2}) / spacing;
  const at::Tensor nearest = cell.round().clamp(-2, 2);
  const at::Tensor good = ((cell - nearest) * spacing).norm(2, {1}).lt(3 * deviation);
  const at::Tensor mode = (nearest.select(1, 0) + 2 + 5 * (nearest.select(1, 1) + 2)).to(at::kLong);
  const at::Tensor counts = at::bincount(mode.masked_select(good), {}, 25);
  return {counts.gt(0).sum().item<std::int64_t>(), good.to(at::kDouble).mean().item<double>()};
}

Found train(const Row& row, std::int64_t steps, std::uint64_t seed) {
  Settings settings;
  for (const auto* options : {&common, &row.options})
    for (const auto& [key, value] : *options) settings[key] = {value, row.name};
  const auto recipe = make_method_recipe("adversarial", settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  recipe->check(batch);
  const auto alone = make_single_communicator();
  const auto method = recipe->build(
      {.gradients = *alone, .batch_norm = *alone, .batch = batch, .seed = seed, .bucket_bytes = 1 << 20});
  method->initialise();
  std::int64_t position = 0;
  for (std::int64_t step = 1; step <= steps; ++step)
    method->step(step, [&] {
      Batch next{points(position, batch), at::zeros({batch}, at::kLong), position, {0, batch}};
      position += batch;
      return next;
    });
  return judge(method->sampler({.seed = seed})->images(0, at::zeros({drawn}, at::kLong)));
}

void run(std::span<char*> words) {
  std::int64_t steps = 20000, seed = 0;
  std::vector<std::string> wanted;
  for (const std::string word : words) {
    if (word.starts_with("steps="))
      steps = parse_integer("steps", {word.substr(6), "command line"});
    else if (word.starts_with("seed="))
      seed = parse_integer("seed", {word.substr(5), "command line"});
    else
      wanted.push_back(word);
  }
  fmt::print("| loss | modes of 25 | good points |\n|---|---|---|\n");
  for (const Row& row : rows) {
    if (!wanted.empty() && std::ranges::find(wanted, row.name) == wanted.end()) continue;
    const Found found = train(row, steps, static_cast<std::uint64_t>(seed));
    fmt::print("| {} | {} | {:.1f}% |\n", row.name, found.modes, 100 * found.good);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  at::set_num_threads(1);
  try {
    ganymede::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_gaussians: {}\n", error.what());
    return 1;
  }
}
