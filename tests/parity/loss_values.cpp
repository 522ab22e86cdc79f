// loss_values IN OUT LOSS [key=value ...]: a loss of models/gan on given logits, in float64.
//
// IN holds logits "real" and "fake" [N], "features" [N, F] of the fakes and the loss's "state". OUT gets for the
// parts "discriminator" and "generator" their values [N], and of the sum of values times 1, 2, ... N the gradients
// "<part>.<input>" and "<part>.second.<input>", the gradient of the sum of the gradients' sines.

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <span>

#include "core/error.h"
#include "core/safetensors.h"
#include "models/gan/loss.h"

namespace ganymede {
namespace {

at::Tensor gradient_or_zero(const at::Tensor& of, const at::Tensor& by, bool again) {
  if (!of.requires_grad()) return at::zeros_like(by);
  const at::Tensor gradient = torch::autograd::grad({of}, {by}, {}, /*retain_graph=*/true, again,
                                                    /*allow_unused=*/true)[0];
  return gradient.defined() ? gradient : at::zeros_like(by);
}

void add_derivatives(NamedTensors& out, const std::string& part, const at::Tensor& each,
                     const NamedTensors& inputs) {
  const at::Tensor value = (each * at::arange(1, each.size(0) + 1, each.options())).sum();
  out.emplace_back(part, each.detach().clone());
  at::Tensor bent = at::zeros({}, at::kDouble);
  for (const auto& [name, input] : inputs) {
    const at::Tensor gradient = gradient_or_zero(value, input, true);
    bent = bent + gradient.sin().sum();
    out.emplace_back(part + "." + name, gradient.detach().clone());
  }
  for (const auto& [name, input] : inputs)
    out.emplace_back(part + ".second." + name, gradient_or_zero(bent, input, false).detach().clone());
}

void run(std::span<char*> words) {
  if (words.size() < 3) fail(ExitCode::options, "usage: loss_values IN OUT LOSS [key=value ...]");
  const auto loss = make_gan_loss(words[2]);
  Settings settings;
  for (const std::string word : words.subspan(3)) {
    const auto equals = word.find('=');
    settings[word.substr(0, equals)] = {word.substr(equals + 1), "command line"};
  }
  OptionSchema schema;
  loss->describe(schema);
  schema.apply(settings);
  loss->check();

  const SafetensorsFile file = SafetensorsFile::open(words[0]);
  NamedTensors inputs;
  for (const char* name : {"real", "fake", "features"})
    inputs.emplace_back(name, file.read(name).set_requires_grad(true));
  const at::Tensor &real = inputs[0].second, &fake = inputs[1].second, &features = inputs[2].second;
  const auto alone = make_single_communicator();
  const GanLogits logits{real, fake, features, file.read("state"), *alone, {0, real.size(0), real.size(0)}};
  NamedTensors out;
  add_derivatives(out, "discriminator", loss->discriminator(logits), inputs);
  add_derivatives(out, "generator", loss->generator(logits), inputs);
  write_safetensors(words[1], out, {});
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  at::set_num_threads(1);
  try {
    ganymede::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "loss_values: {}\n", error.what());
    return 1;
  }
}
