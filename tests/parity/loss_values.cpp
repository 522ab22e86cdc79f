// loss_values IN OUT LOSS [key=value ...]: a loss of models/gan on given logits, in float64.
//
// IN holds logits "real" and "fake" [N]. OUT gets for the parts "discriminator" and "generator" their values [N], and of
// the sum of values times 1, 2, ... N the gradients "<part>.real", "<part>.fake" and "<part>.second.<logits>", the
// gradient of the sum of the gradients' sines.

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
                     const at::Tensor& real, const at::Tensor& fake) {
  const at::Tensor value = (each * at::arange(1, each.size(0) + 1, each.options())).sum();
  const at::Tensor by_real = gradient_or_zero(value, real, true),
                   by_fake = gradient_or_zero(value, fake, true);
  const at::Tensor bent = by_real.sin().sum() + by_fake.sin().sum();
  out.emplace_back(part, each.detach().clone());
  out.emplace_back(part + ".real", by_real.detach().clone());
  out.emplace_back(part + ".fake", by_fake.detach().clone());
  out.emplace_back(part + ".second.real", gradient_or_zero(bent, real, false).detach().clone());
  out.emplace_back(part + ".second.fake", gradient_or_zero(bent, fake, false).detach().clone());
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
  at::Tensor real = file.read("real"), fake = file.read("fake");
  real.requires_grad_(true);
  fake.requires_grad_(true);
  const auto alone = make_single_communicator();
  const GanLogits logits{real, fake, {}, {}, *alone, {0, real.size(0), real.size(0)}};
  NamedTensors out;
  add_derivatives(out, "discriminator", loss->discriminator(logits), real, fake);
  add_derivatives(out, "generator", loss->generator(logits), real, fake);
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
