#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <map>

#include "core/error.h"
#include "core/safetensors.h"
#include "datasets/image_dataset.h"
#include "launch/captions.h"
#include "launch/commands.h"
#include "launch/diffusers_folder.h"
#include "launch/flag_command.h"
#include "launch/mixed_average.h"
#include "launch/recipe.h"
#include "launch/snapshot.h"
#include "launch/text.h"
#include "models/exchange/denoiser_settings.h"
#include "models/exchange/latent_scale.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* usage =
    R"(usage: ganymede export --from RUN|CHECKPOINT --out FILE.safetensors [OPTION ...]
       ganymede export --from RUN|CHECKPOINT --format diffusers --out DIR [OPTION ...]

Writes the weights and buffers of a run's networks as safetensors, in float32. Names are
NETWORK.TENSOR, or with --network TENSOR alone. With --format diffusers, the folder that diffusers'
from_pretrained() reads: an autoencoder (AutoencoderKL, VQModel), or a denoiser (UNet2DModel,
DiTTransformer2DModel), its scheduler, the first stage whose latents it denoises, and the pipeline that draws
with them, where diffusers has one.

)";

const std::vector<Flag> flags{
    {"from", "RUN|CHECKPOINT", "a run folder (its newest sound checkpoint) or one checkpoint"},
    {"out", "FILE|DIR", "the file to write, where one that is there is replaced; or a new folder"},
    {"format", "safetensors|diffusers", "[safetensors]"},
    {"network", "NAME", "one network, such as generator [all]"},
    {"ema", "true|false", "the moving average of the weights, of networks that have one [true]"},
    sigma_rel_flag(),
    {"data", "FILE.h5", "for diffusers: a dataset whose names of classes a DiTPipeline is to know [none]"},
    {"sampler.solver", "NAME", "for diffusers: the solver whose scheduler is written [the run's own]"},
    {"help", "", "this text"},
};

struct Request {
  fs::path from, out;
  std::string network, format = "safetensors";
  std::vector<std::string> class_names;
  Settings sampler;  ///< options of the run's own that are to be others
  bool ema = true, asks_for_average = false;
  double sigma_rel = 0;  ///< of an average that is made now; 0 = the run's own
};

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  Request request;
  request.from = line.required("from", "a run folder or a checkpoint");
  request.out = line.required("out", "the file to write");
  request.network = line.value("network");
  OptionSchema schema;
  schema.add("--format", request.format, {"safetensors", "diffusers"}, "");
  schema.add("--ema", request.ema, "");
  for (const char* name : {"format", "ema"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  request.asks_for_average = line.has("ema") && request.ema;
  request.sigma_rel = read_sigma_rel(line);
  const bool diffusers = request.format == "diffusers";
  if (line.has("sampler.solver"))
    request.sampler["sampler.solver"] = {line.value("sampler.solver"), "command line"};
  if (diffusers && !request.network.empty())
    fail(ExitCode::options, "--network: with --format diffusers the run's method says which network it is");
  if (!diffusers && line.has("data"))
    fail(ExitCode::options, "--data names the classes of a pipeline: it goes with --format diffusers");
  if (line.has("data"))
    request.class_names = layout_from_json(ImageDataset::inspect({line.value("data")})).class_names;
  if (!diffusers && !request.sampler.empty())
    fail(ExitCode::options, "--sampler.solver chooses a scheduler: it goes with --format diffusers");
  return request;
}

/// A checkpoint's tensors by network and kind (models/player.h).
using Networks = std::map<std::string, std::map<std::string, NamedTensors>>;

Networks networks_in(const SoundCheckpoint& checkpoint) {
  Networks networks;
  for (const auto& [name, tensor] : read_tensors(checkpoint.path, checkpoint.manifest)) {
    const std::size_t first = name.find('/'), second = name.find('/', first + 1);
    if (second == std::string::npos) continue;
    networks[name.substr(0, first)][name.substr(first + 1, second - first - 1)].emplace_back(
        name.substr(second + 1), tensor);
  }
  std::erase_if(networks, [](const auto& network) { return !network.second.contains("weight"); });
  return networks;
}

/// A checkpoint's networks; one's average made anew where that is asked for.
Networks networks_of(const SoundCheckpoint& checkpoint, const Request& request) {
  Networks networks = networks_in(checkpoint);
  if (request.sigma_rel == 0) return networks;
  const MixedAverage average = mixed_average(checkpoint, request.sigma_rel);
  fmt::print("{}\n", described(average, request.sigma_rel));
  auto& kinds = networks.at(average.player);
  kinds["ema"] = average.tensors;
  kinds["ema_buffer"] = kinds["buffer"];
  return networks;
}

NamedTensors chosen(const Networks& networks, const Request& request) {
  std::vector<std::string> names;
  for (const auto& [name, kinds] : networks) names.push_back(name);
  if (!request.network.empty() && !networks.contains(request.network))
    fail(ExitCode::options, "--network {}: give one of {}", request.network, fmt::join(names, ", "));
  NamedTensors tensors;
  bool any_average = false;
  for (const auto& [name, kinds] : networks) {
    if (!request.network.empty() && name != request.network) continue;
    const bool average = request.ema && kinds.contains("ema");
    any_average = any_average || average;
    for (const char* kind : {average ? "ema" : "weight", average ? "ema_buffer" : "buffer"})
      if (const auto found = kinds.find(kind); found != kinds.end())
        for (const auto& [tensor_name, tensor] : found->second)
          tensors.emplace_back(request.network.empty() ? name + "." + tensor_name : tensor_name, tensor);
  }
  if (request.asks_for_average && !any_average)
    fail(ExitCode::options, "--ema true: no moving average of these weights was kept: leave --ema out");
  return tensors;
}

DiffusersPart part_of(const NetworkFormat& format, const Settings& run, const Networks& networks,
                      Request request) {
  DiffusersPart part{format, std::string(format.folder), format.config(run), {}};
  request.network = format.player;
  NamedTensors ours = chosen(networks, request);
  for (auto& [name, tensor] : ours) tensor = tensor.to(at::kFloat);
  part.tensors = format.to_theirs(ours, part.config);
  return part;
}

/// The first stage that a run's latents are of, scaled as pipelines need it.
DiffusersPart first_stage_part(const NetworkFormat& format, const Settings& run, const Networks& networks,
                               const std::string& folder) {
  const auto& kept = networks.at("first_stage");
  std::map<std::string, at::Tensor> state(kept.at("state").begin(), kept.at("state").end());
  ScaledFirstStage scaled = scaled_first_stage(kept.at("weight"), state.at("mean"), state.at("deviation"));
  for (auto& [name, tensor] : scaled.weights) tensor = tensor.to(at::kFloat);
  DiffusersPart part{format, folder, format.config(run), {}};
  part.config["scaling_factor"] = scaled.scaling_factor;
  part.tensors = format.to_theirs(scaled.weights, part.config);
  return part;
}

/// What was written of a pipeline, in words; remarks in lines of their own.
std::string text_of(const PipelineFormat& pipeline, const std::string& solver) {
  const std::string scheduler = pipeline.scheduler.config.at("_class_name");
  std::string text = fmt::format(
      ", {}, {}\n", scheduler,
      pipeline.index.is_null() ? "no pipeline" : pipeline.index.at("_class_name").get<std::string>());
  if (!pipeline.remark.empty()) text += pipeline.remark + "\n";
  if (const std::string& difference = pipeline.scheduler.difference; !difference.empty())
    text += fmt::format("{} beside sampler.solver = {}: {}\n", scheduler, solver, difference);
  return text;
}

/// Tells a DiTPipeline what its labels are called.
void name_classes(json& index, const std::vector<std::string>& names) {
  if (names.empty() || index.is_null() || index.at("_class_name") != "DiTPipeline") return;
  json labels = json::object();
  for (std::size_t i = 0; i < names.size(); ++i) labels[std::to_string(i)] = names[i];
  index["id2label"] = labels;
}

/// A run's networks, scheduler and pipeline as diffusers has them.
void export_to_diffusers(const SoundCheckpoint& checkpoint, const Request& request) {
  const Settings stored =
      parse_recipe(checkpoint.manifest.header.at("options").get<std::string>(), "checkpoint");
  const RunOptions options({stored, request.sampler});
  const Settings run = parse_recipe(options.schema.to_recipe(), "checkpoint");
  const NetworkFormat& format = format_of_run(run);
  const Networks networks = networks_of(checkpoint, request);
  DiffusersExport made{.networks = {part_of(format, run, networks, request)},
                       .step = checkpoint.manifest.step};
  if (!format.is_first_stage()) {
    made.pipeline = pipeline_of_run(format, run);
    name_classes(made.pipeline->index, request.class_names);
    made.last_label_is_none = shape_of_run(run).without_label;
    if (const NetworkFormat* first_stage = first_stage_of_run(run))
      made.networks.push_back(
          first_stage_part(*first_stage, run, networks, made.pipeline->first_stage_folder));
  }
  const std::int64_t bytes = write_diffusers_folder(request.out, made);
  std::vector<std::string_view> classes;
  std::ptrdiff_t count = 0;
  for (const DiffusersPart& part : made.networks) {
    classes.push_back(part.format.class_name);
    count += std::ssize(part.tensors);
  }
  fmt::print("{}: step {}, {}, {} tensors, {}{}", request.out.string(), with_thousands(made.step),
             fmt::join(classes, " and "), with_thousands(count), byte_text(bytes),
             made.pipeline ? text_of(*made.pipeline, run.at("sampler.solver").value) : "\n");
}

ExitCode export_networks(Process& process, const Request& request) {
  const SoundCheckpoint checkpoint = find_checkpoint(process, request.from);
  process.together([&] {
    if (!process.is_root()) return;
    if (request.format == "diffusers") return export_to_diffusers(checkpoint, request);
    const NamedTensors tensors = chosen(networks_of(checkpoint, request), request);
    fs::path temporary = request.out;
    temporary += ".tmp";
    std::map<std::string, std::string> notes{
        {"format", "pt"}, {"step", std::to_string(checkpoint.manifest.step)}, {"program", "ganymede"}};
    if (const VocabularyText vocabulary = vocabulary_in(checkpoint.manifest); !vocabulary.empty()) {
      notes["vocab.json"] = vocabulary.vocab;
      notes["merges.txt"] = vocabulary.merges;
    }
    const FileRecord written = write_safetensors(temporary, tensors, notes);
    rename_durably(temporary, request.out);
    std::int64_t numbers = 0;
    for (const auto& [name, tensor] : tensors) numbers += tensor.numel();
    fmt::print("{}: step {}, {} tensors, {} numbers, {}\n", request.out.string(),
               with_thousands(checkpoint.manifest.step), with_thousands(std::ssize(tensors)),
               with_thousands(numbers), byte_text(written.size));
  });
  return ExitCode::done;
}

}  // namespace

int export_command(std::span<const std::string> arguments) {
  return run_flag_command(
      arguments, flags, [] { return usage + flag_help(flags); }, read_request, export_networks);
}

}  // namespace ganymede
