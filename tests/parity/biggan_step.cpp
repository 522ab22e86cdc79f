// One step of adversarial training on made-up images, written down tensor by tensor:
//
//     biggan_step RECIPE OUT.safetensors [perturb=SCALE] [updates=N] [step=N] [section.key=value ...]
//
// OUT holds "before/..." and "after/..." (all that a checkpoint holds, Player::state()), "observed/NAME/K"
// (the K-th time that Method::observe showed NAME; the step's report is "observed/method.report/FIGURE"), and
// the resolved recipe as metadata "recipe". `perturb` adds normal noise to the whole initial state, so that
// no tensor is at a special value (gamma of an attention is 0 at first, and hides it); `updates` is the
// number of updates that the players believe they have had, `step` [1] that of the step. `dropout=LAYER:P:C:H:W` also writes down what the generator's
// dropout of that name multiplies each image's map by, as "dropout/LAYER" [batch, C, H, W]. Batch, precision and seed are the recipe's
// train.batch, train.precision and train.seed.

#include <ATen/Parallel.h>

#include <cstdio>
#include <map>
#include <span>
#include <sstream>

#include "core/error.h"
#include "core/philox.h"
#include "core/safetensors.h"
#include "launch/recipe.h"
#include "models/layers/dropout.h"

namespace ganymede {
namespace {

struct Arguments {
  Settings recipe, overrides;
  std::string out;
  double perturb = 0;
  std::int64_t updates = 0, step = 1;
  std::vector<std::string> dropouts = {};
};

Arguments parse(std::span<char*> words) {
  if (words.size() < 2) fail(ExitCode::options, "usage: biggan_step RECIPE OUT [key=value ...]");
  Arguments arguments{.recipe = read_recipe(words[0]), .overrides = {}, .out = words[1]};
  for (const std::string word : words.subspan(2)) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) fail(ExitCode::options, "'{}' is not key=value", word);
    const std::string key = word.substr(0, equals);
    const Setting setting{word.substr(equals + 1), "command line"};
    if (key == "perturb")
      arguments.perturb = parse_number(key, setting);
    else if (key == "updates")
      arguments.updates = parse_integer(key, setting);
    else if (key == "step")
      arguments.step = parse_integer(key, setting);
    else if (key == "dropout")
      arguments.dropouts.push_back(setting.value);
    else
      arguments.overrides[key] = setting;
  }
  return arguments;
}

/// The micro-batches that a loader would give to the only rank.
class Images {
 public:
  Images(const ImageSpec& spec, const MethodContext& context) : spec_(spec), context_(context) {}

  Batch next() {
    const std::int64_t count = context_.micro_batch();
    const RandomStream pixels({.seed = context_.seed, .phase = "images", .stream = "pixel"});
    const RandomStream labels({.seed = context_.seed, .phase = "images", .stream = "label"});
    Batch batch;
    batch.images =
        (pixels.uniform(position_, count, spec_.channels * spec_.height * spec_.width, at::kDouble) * 2 - 1)
            .view({count, spec_.channels, spec_.height, spec_.width})
            .to(context_.dtype)
            .contiguous(at::MemoryFormat::ChannelsLast);
    batch.labels = labels.integers(position_, count, spec_.classes);
    if (spec_.embedding > 0) {
      const RandomStream texts({.seed = context_.seed, .phase = "images", .stream = "text"});
      batch.embeddings = texts.normal(position_, count, spec_.embedding, at::kFloat);
      batch.other_embeddings = batch.embeddings.roll(1, 0);
    }
    batch.position = position_;
    batch.share = {0, count};
    if (spec_.sources != SourceImages::none) batch.sources = sources(count);
    position_ += count;
    return batch;
  }

 private:
  at::Tensor sources(std::int64_t count) const {
    const RandomStream pixels({.seed = context_.seed, .phase = "images", .stream = "source"});
    return (pixels.uniform(position_, count, spec_.source_channels * spec_.height * spec_.width,
                           at::kDouble) *
                2 -
            1)
        .view({count, spec_.source_channels, spec_.height, spec_.width})
        .to(at::kFloat);
  }

  ImageSpec spec_;
  const MethodContext& context_;
  std::int64_t position_ = 0;
};

bool is_square(const std::string& name) {
  return name.find("/adam_v/") != std::string::npos || name.ends_with("running_var");
}

void perturb(Method& method, double scale, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (Player* player : method.players())
    for (auto& [name, tensor] : player->state()) {
      if (name.find("/guard/") != name.npos) continue;
      const RandomStream random({.seed = seed, .phase = "perturb", .layer = name});
      tensor.add_(random.normal(0, 1, tensor.numel(), tensor.scalar_type()).view(tensor.sizes()), scale);
      if (is_square(name)) tensor.abs_();
    }
  for (const auto& [name, tensor] : method.state())
    if (name.ends_with("path_length/mean")) at::Tensor(tensor).fill_(scale);
}

void add_state(NamedTensors& record, const std::string& when, Method& method) {
  for (Player* player : method.players())
    for (const auto& [name, tensor] : player->state())
      record.emplace_back(when + "/" + name, tensor.detach().clone());
}

/// Of the step that is recorded.
at::Tensor dropout_mask(const std::string& wanted, const MethodContext& context, std::string& layer) {
  std::istringstream words(wanted);
  std::vector<double> numbers;
  std::getline(words, layer, ':');
  for (std::string word; std::getline(words, word, ':');) numbers.push_back(std::stod(word));
  std::vector<std::int64_t> shape{context.batch};
  for (std::size_t i = 1; i < numbers.size(); ++i) shape.push_back(static_cast<std::int64_t>(numbers[i]));
  const LayerDraws draws{{.seed = context.seed, .phase = "generator", .step = 1}, 0};
  return Dropout(numbers.at(0), layer).forward(at::ones(shape, context.dtype), &draws);
}

void run(const Arguments& arguments) {
  RunOptions options({arguments.recipe, arguments.overrides});
  options.check(1);
  const auto gradients = make_single_communicator(), batch_norm = make_single_communicator();
  const MethodContext context{
      .gradients = *gradients,
      .batch_norm = *batch_norm,
      .batch = options.train.batch,
      .accumulate = options.train.accumulate,
      .seed = static_cast<std::uint64_t>(options.train.seed),
      .dtype = options.train.dtype(),
      .bucket_bytes = static_cast<std::int64_t>(options.train.bucket_mib * (1 << 20))};
  const auto method = options.method->build(context);
  method->initialise();
  if (arguments.perturb > 0) perturb(*method, arguments.perturb, context.seed);
  for (Player* player : method->players()) player->set_updates(arguments.updates);

  NamedTensors record;
  std::map<std::string, int> shown;
  add_state(record, "before", *method);
  method->observe = [&](std::string_view name, const at::Tensor& tensor) {
    const int occurrence = shown[std::string(name)]++;
    record.emplace_back(fmt::format("observed/{}/{}", name, occurrence), tensor.detach().clone());
  };
  Images images(options.method->images(), context);
  for (const auto& [name, figure] : figures_of(method->step(arguments.step, [&] { return images.next(); })))
    record.emplace_back("observed/method.report/" + name, at::scalar_tensor(figure, at::kDouble));
  add_state(record, "after", *method);
  for (const std::string& wanted : arguments.dropouts) {
    std::string layer;
    const at::Tensor mask = dropout_mask(wanted, context, layer);
    record.emplace_back("dropout/" + layer, mask);
  }
  write_safetensors(arguments.out, record, {{"recipe", options.schema.to_recipe()}});
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  at::set_num_threads(1);
  try {
    ganymede::run(ganymede::parse(std::span(argv + 1, static_cast<std::size_t>(argc - 1))));
    return 0;
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "biggan_step: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "biggan_step: {}\n", error.what());
    return 1;
  }
}
