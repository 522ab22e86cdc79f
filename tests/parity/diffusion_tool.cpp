// What the program's denoisers, solvers and autoencoders compute:
//
//     diffusion_tool network IN.safetensors OUT.safetensors KEY=VALUE ...
//     diffusion_tool solve IN.safetensors OUT.safetensors KEY=VALUE ...
//     diffusion_tool sample IN.safetensors OUT.safetensors KEY=VALUE ...
//     diffusion_tool bound IN.safetensors OUT.safetensors KEY=VALUE ...
//     diffusion_tool autoencoder IN.safetensors OUT.safetensors KEY=VALUE ...
//     diffusion_tool classifier IN.safetensors OUT.safetensors KEY=VALUE ...
//
// KEY=VALUE are options of a recipe with train.method = denoising, or autoencoder.
//
// `network`: IN holds "weight.<name>" for each parameter, all of one type, and "x", "condition", "labels", "g"; where
// captions are told (diffusion.text), "captions" and which of them are left out, "without".
// Writes "out", and the gradients of sum(out g): "gradient.<name>" and "gradient.x".
//
// `solve`: goes from IN's "x" to an image by the recipe's solver where the network's output is sin(x + t / 1000) of
// what it is given, with IN's "noise.<i>" for step i (and its churn). Writes "x.<i>" after step i, and each point's "alpha", "sigma",
// "time". All float64.
//
// `sample`: draws images 0, 1, ... of seed 7 for IN's "labels" by the network with the weights "weight.<name>". Writes
// "images", and the noise they came of: "noise.0" in the beginning, "noise.<i>" in step i. With options first_stage.* the
// images are decoded by the first stage whose state IN holds, by the names of FirstStage::state().
//
// `bound`: the terms of the variational bound of IN's "x0", "xt", "estimate", "v", "times": "bound" and "prior".
//
// `autoencoder`: IN holds "weight.<name>" for each parameter, all of one type, and "x", "g", "h" and, of "kl", "eps". Writes
// "moments", what is drawn or quantised of them as "latent", of "vq" "indices", and "reconstruction"; and the gradients
// of sum(moments g) + sum(reconstruction h), where that of a quantised latent goes to what it was quantised from.

// `classifier`: of the classifier of noisy images, with options half_unet.*, the same as `network`, without labels.

#include <cstdio>
#include <span>

#include "core/error.h"
#include "core/philox.h"
#include "core/safetensors.h"
#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/half_unet.h"
#include "models/first_stages/autoencoder.h"
#include "models/first_stages/first_stage.h"
#include "models/player.h"

namespace ganymede {
namespace {

using Words = std::span<char*>;

/// The parts of a recipe that the tool looks into.
struct Parts {
  std::unique_ptr<DenoiserNetwork> network;
  std::unique_ptr<DiffusionProcess> process;
  DrawOptions draw;
  DenoiserShape shape;
  std::optional<AutoencoderOptions> first_stage;
};

Parts parts_of(Words words) {
  std::string network = "unet", process = "ddpm";
  Settings settings;
  Parts parts;
  for (const std::string word : words) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (key == "diffusion.network")
      network = value;
    else if (key == "diffusion.process")
      process = value;
    else if (key == "diffusion.text")
      parts.shape.text.source = text_source_named(value);
    else if (key == "without_label")
      parts.shape.without_label = true;
    else if (key == "learned_variance")
      parts.shape.learned_variance = true;
    else if (key == "augmentation")
      parts.shape.augmentation = std::stoll(value);
    else if (key == "diffusion.source_channels")
      parts.shape.source_channels = std::stoll(value);
    else
      settings[key] = {value, "command line"};
    if (key.starts_with("first_stage.") && !parts.first_stage) parts.first_stage.emplace();
  }
  parts.network = make_denoiser_network(network);
  parts.process = make_diffusion_process(process);
  OptionSchema schema;
  parts.network->describe(schema);
  parts.process->describe(schema);
  parts.draw.describe(schema);
  parts.shape.text.describe(schema);
  if (parts.first_stage) parts.first_stage->describe(schema);
  schema.apply(settings);
  return parts;
}

/// IN's weights become the network's; `others` is the number of IN's other tensors.
void take_weights(torch::nn::Module& network, const SafetensorsFile& in, std::size_t others) {
  const at::NoGradGuard no_grad;
  std::size_t weights = 0;
  for (const auto& [name, parameter] : parameters_of(network)) {
    at::Tensor(parameter).copy_(in.read("weight." + name));
    ++weights;
  }
  if (weights + others != in.tensors().size())
    fail(ExitCode::checkpoint, "there are weights that the network lacks");
}

void add_gradients(NamedTensors& record, const torch::nn::Module& network) {
  for (const auto& [name, parameter] : parameters_of(network))
    if (parameter.grad().defined()) record.emplace_back("gradient." + name, parameter.grad());
}

/// With the weights of the file, which holds so many other tensors.
std::shared_ptr<Denoiser> network_of(const Parts& parts, const SafetensorsFile& in, at::ScalarType type,
                                     std::size_t others) {
  auto network = parts.network->build(parts.shape);
  network->to(type);
  take_weights(*network, in, others);
  return network;
}

void network(Words words) {
  const Parts parts = parts_of(words.subspan(2));
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  const at::Tensor x = in.read("x").requires_grad_();
  const bool told = parts.shape.text.is_told(), augmented = parts.shape.augmentation > 0;
  const auto network = network_of(parts, in, x.scalar_type(), 4 + (told ? 2 : 0) + (augmented ? 1 : 0));
  DenoiserContext context;
  if (augmented) context.augmentation = in.read("augmentation");
  if (told) context.text = {in.read("captions"), in.read("without").to(at::kBool)};
  const at::Tensor out = network->forward(x, in.read("condition"), in.read("labels"), context);
  (out * in.read("g")).sum().backward();
  NamedTensors record{{"out", out.detach()}, {"gradient.x", x.grad()}};
  add_gradients(record, *network);
  write_safetensors(words[1], record);
}

/// A network's options as the words say.
template <class Options>
Options options_of(Words words) {
  Options options;
  OptionSchema schema;
  options.describe(schema);
  Settings settings;
  for (const std::string word : words) {
    const std::size_t equals = word.find('=');
    settings[word.substr(0, equals)] = {word.substr(equals + 1), "command line"};
  }
  schema.apply(settings);
  options.check();
  return options;
}

void classifier(Words words) {
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  HalfUnet network(options_of<HalfUnetOptions>(words.subspan(2)));
  const at::Tensor x = in.read("x").requires_grad_();
  network.to(x.scalar_type());
  take_weights(network, in, 3);
  const at::Tensor out = network.forward(x, in.read("condition"), {});
  (out * in.read("g")).sum().backward();
  NamedTensors record{{"out", out.detach()}, {"gradient.x", x.grad()}};
  add_gradients(record, network);
  write_safetensors(words[1], record);
}

void autoencoder(Words words) {
  const auto options = options_of<AutoencoderOptions>(words.subspan(2));
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  Autoencoder network(options);
  const at::Tensor x = in.read("x").requires_grad_();
  network.to(x.scalar_type());
  take_weights(network, in, options.quantises() ? 3 : 4);
  const at::Tensor moments = network.encode(x);
  NamedTensors record{{"moments", moments.detach()}};
  at::Tensor latent, codes;
  if (options.quantises()) {
    const at::Tensor indices = network.codebook().nearest(moments);
    codes = network.codebook().vectors(indices);
    latent = moments + (codes - moments).detach();
    record.emplace_back("indices", indices);
  } else {
    latent = LatentMoments(moments).drawn(in.read("eps"));
  }
  const at::Tensor reconstruction = network.decode(latent);
  ((moments * in.read("g")).sum() + (reconstruction * in.read("h")).sum()).backward();
  record.emplace_back("latent", latent.detach().contiguous());
  record.emplace_back("reconstruction", reconstruction.detach());
  record.emplace_back("gradient.x", x.grad());
  add_gradients(record, network);
  write_safetensors(words[1], record);
}

void solve(Words words) {
  const Parts parts = parts_of(words.subspan(2));
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  const auto path = path_of(*parts.process, parts.draw);
  const auto solver = make_solver(parts.draw.solver, parts.draw.solver_options);
  at::Tensor x = in.read("x");
  NamedTensors record;
  const auto denoise = [&](const at::Tensor& seen, const PathPoint& point) {
    const Coefficients c = parts.process->coefficients(at::full({1}, point.time, at::kDouble));
    const at::Tensor f = (c.scale * seen + c.condition / 1000).sin();
    const at::Tensor image = c.keep * seen + c.gain * f;
    return Denoised{parts.draw.clip ? image.clamp(-1, 1) : image, {}};
  };
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    PathPoint from = path[i];
    if (const auto noisier = churned(parts.draw.churn, *parts.process, from, parts.draw.steps)) {
      x = churn(parts.draw.churn, x, from, *noisier, in.read(fmt::format("noise.{}", i)));
      from = *noisier;
    }
    x = solver->step(x, from, path[i + 1], denoise, [&] { return in.read(fmt::format("noise.{}", i)); });
    record.emplace_back(fmt::format("x.{}", i), x.clone());
  }
  const auto figures = [&](const char* name, auto field) {
    at::Tensor row = at::empty({static_cast<std::int64_t>(path.size())}, at::kDouble);
    for (std::size_t i = 0; i < path.size(); ++i) row[static_cast<std::int64_t>(i)] = path[i].*field;
    record.emplace_back(name, row);
  };
  figures("alpha", &PathPoint::alpha);
  figures("sigma", &PathPoint::sigma);
  figures("time", &PathPoint::time);
  write_safetensors(words[1], record);
}

void sample(Words words) {
  constexpr std::uint64_t seed = 7;
  const Parts parts = parts_of(words.subspan(2));
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  const at::Tensor labels = in.read("labels");
  const ImageSpec spec = parts.network->images();
  DiffusionSampler::Setting setting{seed,         spec,       parts.shape.without_label,
                                    std::nullopt, at::kFloat, at::kCPU};
  std::size_t others = 1;
  if (parts.first_stage) {
    const auto stage = std::make_shared<FirstStage>(*parts.first_stage, at::kFloat, at::kCPU);
    for (const auto& [name, tensor] : stage->state()) {
      tensor.copy_(in.read(name));
      ++others;
    }
    setting.decode = [stage](const at::Tensor& latents) { return stage->images(latents); };
  }
  DiffusionSampler sampler(network_of(parts, in, at::kFloat, others), *parts.process, parts.draw, setting);
  const std::int64_t count = labels.size(0);
  NamedTensors record{{"images", sampler.images(0, labels)}};
  for (std::int64_t i = 0; i < parts.draw.steps; ++i) {
    const RandomStream random({.seed = seed,
                               .phase = "sample",
                               .step = static_cast<std::uint64_t>(i),
                               .stream = i == 0 ? "noise" : "step"});
    record.emplace_back(fmt::format("noise.{}", i),
                        random.normal(0, count, spec.channels * spec.height * spec.width, at::kFloat)
                            .view({count, spec.channels, spec.height, spec.width}));
  }
  write_safetensors(words[1], record);
}

void bound(Words words) {
  const Parts parts = parts_of(words.subspan(2));
  const SafetensorsFile in = SafetensorsFile::open(words[0]);
  const at::Tensor x0 = in.read("x0");
  write_safetensors(words[1], {{"bound", parts.process->bound(x0, in.read("xt"), in.read("estimate"),
                                                              in.read("v"), in.read("times"))},
                               {"prior", parts.process->prior_bound(x0)}});
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  try {
    const std::string verb = argc > 3 ? argv[1] : "";
    const std::span<char*> words(argv + 2, static_cast<std::size_t>(std::max(argc - 2, 0)));
    if (verb == "network")
      ganymede::network(words);
    else if (verb == "solve")
      ganymede::solve(words);
    else if (verb == "sample")
      ganymede::sample(words);
    else if (verb == "bound")
      ganymede::bound(words);
    else if (verb == "autoencoder")
      ganymede::autoencoder(words);
    else if (verb == "classifier")
      ganymede::classifier(words);
    else
      ganymede::fail(ganymede::ExitCode::options,
                     "usage: diffusion_tool network|solve|sample|bound|autoencoder|classifier IN OUT KEY=VALUE ...");
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
