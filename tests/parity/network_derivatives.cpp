// network_derivatives RECIPE OUT [section.key=value ...]: first and second derivatives of a recipe's pair of networks, in
// float64.
//
// OUT holds for either player "before/PLAYER/weight/NAME" and "before/PLAYER/buffer/NAME", what it begins with and noise; what it was
// given, "given/PLAYER/input" (z, or images), "given/PLAYER/labels" and "given/PLAYER/probe", as large as its output; and
// "after/PLAYER/output", "after/PLAYER/gradient", by the input of the sum of output times probe, and
// "after/PLAYER/second/NAME", by each weight of the sum of that gradient's squares. The resolved recipe is metadata
// "recipe".

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <span>

#include "core/error.h"
#include "core/philox.h"
#include "core/safetensors.h"
#include "launch/recipe.h"
#include "models/gan/network.h"
#include "models/layers/initialise.h"
#include "models/player.h"

namespace ganymede {
namespace {

constexpr std::int64_t images = 4;
constexpr double scale = 0.1;  // of noise on all that a network begins with: no tensor is at a special value

at::Tensor drawn(const std::string& name, at::IntArrayRef shape) {
  const RandomStream random({.seed = 3, .phase = "derivatives", .layer = name});
  return random.normal(0, 1, c10::multiply_integers(shape), at::kDouble).view(shape);
}

void fill(const NamedTensors& tensors, const std::string& prefix, NamedTensors& record) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor(tensor).add_(drawn(prefix + name, tensor.sizes()), scale);
    if (name.ends_with("running_var")) at::Tensor(tensor).abs_();
    record.emplace_back(prefix + name, tensor.detach().clone());
  }
}

template <class Judged>
void add_derivatives(NamedTensors& record, const std::string& player, Judged& network, const std::string& initialisation,
                     const at::Tensor& input, const at::Tensor& labels) {
  network.to(at::kDouble);
  initialise(network, initialisation, 3);
  fill(parameters_of(network), "before/" + player + "/weight/", record);
  fill(buffers_of(network), "before/" + player + "/buffer/", record);
  const auto alone = make_single_communicator();
  network.begin_phase(true);
  const at::Tensor x = input.clone().set_requires_grad(true);
  const at::Tensor output = network.forward(x, labels, {*alone, {0, images, images}});
  const at::Tensor probe = drawn(player + ".probe", output.sizes());
  const at::Tensor gradient = torch::autograd::grad({(output * probe).sum()}, {x}, {}, true, true)[0];
  torch::autograd::variable_list weights;
  for (const auto& [name, weight] : parameters_of(network)) weights.push_back(weight);
  const auto second =
      torch::autograd::grad({gradient.square().sum()}, weights, {}, false, false, /*allow_unused=*/true);
  for (const auto& [name, tensor] : NamedTensors{{"input", input}, {"labels", labels}, {"probe", probe}})
    record.emplace_back("given/" + player + "/" + name, tensor.contiguous());
  for (const auto& [name, tensor] : NamedTensors{{"output", output}, {"gradient", gradient}})
    record.emplace_back("after/" + player + "/" + name, tensor.detach().contiguous());
  for (std::size_t i = 0; i < weights.size(); ++i)
    record.emplace_back("after/" + player + "/second/" + parameters_of(network)[i].first,
                        second[i].defined() ? second[i].contiguous() : at::zeros_like(weights[i]));
}

void run(std::span<char*> words) {
  if (words.size() < 2) fail(ExitCode::options, "usage: network_derivatives RECIPE OUT [key=value ...]");
  Settings overrides;
  for (const std::string word : words.subspan(2)) {
    const auto equals = word.find('=');
    overrides[word.substr(0, equals)] = {word.substr(equals + 1), "command line"};
  }
  const RunOptions options({read_recipe(words[0]), overrides});
  const std::string recipe = options.schema.to_recipe();
  const Settings all = parse_recipe(recipe, "the resolved recipe");
  const std::string& name = all.at("gan.network").value;
  const auto networks = make_gan_networks(name);
  OptionSchema schema;
  networks->describe(schema);
  Settings own;
  for (const auto& [key, setting] : all)
    if (key.starts_with(name + ".")) own[key] = setting;
  schema.apply(own);

  const ImageSpec spec = networks->images();
  const at::Tensor labels =
      RandomStream({.seed = 3, .phase = "labels"}).integers(0, images, spec.classes);
  NamedTensors record;
  const auto generator = networks->generator();
  add_derivatives(record, "generator", *generator, networks->initialisation(),
                  drawn("z", {images, generator->latent_size()}), labels);
  add_derivatives(record, "discriminator", *networks->discriminator(), networks->initialisation(),
                  drawn("images", {images, spec.channels, spec.height, spec.width}), labels);
  write_safetensors(words[1], record, {{"recipe", recipe}});
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  at::set_num_threads(1);
  try {
    ganymede::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "network_derivatives: {}\n", error.what());
    return 1;
  }
}
