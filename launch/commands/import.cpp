#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "core/files.h"
#include "core/weights_file.h"
#include "launch/checkpoint_saver.h"
#include "launch/commands.h"
#include "launch/cost.h"
#include "launch/diffusers_folder.h"
#include "launch/first_stage_run.h"
#include "launch/flag_command.h"
#include "launch/recipe.h"
#include "launch/text.h"
#include "models/exchange/original_format.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede import DIR --out CHECKPOINT [--SECTION.KEY VALUE ...]
       ganymede import FILE --recipe NAME|FILE --out CHECKPOINT [OPTION ...] [--SECTION.KEY VALUE ...]

Makes a checkpoint of step 0 from networks that others trained. `sample`, `evaluate`, `export` and
`train --init-from` take it.

DIR is what diffusers' save_pretrained() wrote: a pipeline, or a network alone (UNet2DModel,
DiTTransformer2DModel, AutoencoderKL, VQModel). Of a pipeline of latents, the checkpoint holds the denoiser and its
first stage; DIR/vae or DIR/vqvae names that alone. Options are those of the networks and of the scheduler beside
them; others may be given as for train. The labels that a UNet knows are all taken for classes. Where the last
stands for none, say so by the share of images that it was trained with: --diffusion.label_dropout 0.1.

FILE (.pt, .pth, .ckpt, .safetensors) has the names of a network's authors: DiT, the UNet of ADM and of latent
diffusion, or its first stages, alone or within a training checkpoint. Nothing in it is run. It tells no options: a
recipe does. Where that has diffusion.first_stage = autoencoder, the first stage comes of the same file.

)";

const std::vector<Flag> flags{
    {"out", "CHECKPOINT", "the checkpoint to write: a new folder"},
    {"recipe", "NAME|FILE", "of a FILE: the options of its network"},
    {"ema", "true|false", "of a FILE: the moving average of the weights, where it has one [true]"},
    {"attention-order", "legacy|new",
     "of an ADM's FILE: `new` if it was trained with use_new_attention_order [legacy]"},
    {"help", "", "this text"},
};

struct Request {
  fs::path from, out;
  std::unique_ptr<RunOptions> options;
  std::string player, what, remark;       ///< whose weights they are, what they were, and what to know of it
  std::function<NamedTensors()> tensors;  ///< reads them, by this program's names
  /// Reads the first stage of a denoiser of latents, by the names of Method::state(); empty where there is none.
  std::function<NamedTensors()> first_stage;
};

/// What is there are weights alone, in float32.
Settings bare(std::string_view player, std::string_view choice, std::string_view network) {
  return {{"train.precision", {"fp32", "import"}},
          {std::string(player) + ".ema", {"0", "import"}},
          {std::string(choice), {std::string(network), "import"}}};
}

/// The settings of a denoiser's first stage; `side` is the width of its latents. Its config tells a size of images that
/// it need not be used with.
Settings settings_of_stage(const DiffusersNetwork& stage, std::int64_t side) {
  if (stage.config.has("shift_factor") && stage.config.number("shift_factor", 0) != 0)
    stage.config.refuse("shift_factor", "no pipeline that is known here moves its latents");
  const std::int64_t levels = std::ssize(stage.config.integers("block_out_channels"));
  if (levels < 1 || levels > 13) stage.config.refuse("block_out_channels", "1 to 13 levels are expected");
  Settings settings = stage.format.settings(stage.config.with("sample_size", side << (levels - 1)), false);
  settings["train.method"] = {"denoising", stage.config.where()};
  settings["diffusion.first_stage"] = {"autoencoder", stage.config.where()};
  settings[std::string(stage.format.choice)] = {std::string(stage.format.network), stage.config.where()};
  return settings;
}

/// A first stage as a denoiser's method keeps it, whose latents are multiplied by `factor` before they are diffused.
NamedTensors state_of_stage(const NamedTensors& weights, double factor) {
  NamedTensors state;
  std::int64_t channels = 0;
  for (const auto& [name, tensor] : weights) {
    state.emplace_back("first_stage/weight/" + name, tensor);
    if (name == "post_quant_conv.bias") channels = tensor.size(0);
  }
  state.emplace_back("first_stage/state/mean", at::zeros({channels}));
  state.emplace_back("first_stage/state/deviation", at::full({channels}, 1 / factor, at::kFloat));
  return state;
}

NamedTensors read_stage(const DiffusersNetwork& stage) {
  constexpr double usual = 0.18215;
  const double factor = stage.config.number("scaling_factor", usual);
  if (!(factor > 0)) stage.config.refuse("scaling_factor", "a number above 0 is expected");
  return state_of_stage(read_diffusers_tensors(stage), factor);
}

/// What the folder says of a run with such a network.
Settings settings_of_folder(const DiffusersFolder& folder, const Settings& given) {
  const DiffusersNetwork& network = folder.network;
  const auto dropout = given.find("diffusion.label_dropout");
  const bool none = dropout == given.end() ? says_last_label_is_none(network)
                                           : parse_number(dropout->first, dropout->second) > 0;
  Settings settings = bare(network.format.player, network.format.choice, network.format.network);
  settings.merge(network.format.settings(network.config, none));
  if (folder.scheduler) settings.merge(scheduler_settings(*folder.scheduler));
  if (folder.first_stage) {
    const std::string key = std::string(network.format.network) + ".resolution";
    const auto side = static_cast<std::int64_t>(parse_number(key, settings.at(key)));
    for (const auto& [name, setting] : settings_of_stage(*folder.first_stage, side)) settings[name] = setting;
    if (!folder.scheduler) settings["sampler.clip"] = {"false", "import"};
  }
  return settings;
}

void refuse_flags(const CommandLine& line) {
  for (const char* name : {"recipe", "ema", "attention-order"})
    if (line.has(name)) fail(ExitCode::options, "--{} goes with a file: the folder tells what it is", name);
}

/// Reads the command line by the options that there are, and returns it.
CommandLine read_folder(std::span<const std::string> arguments, Request& request) {
  const DiffusersFolder folder = open_diffusers_folder(request.from);
  // The folder decides which options there are, and one of them what it says.
  const std::vector<std::string> keys = RunOptions({settings_of_folder(folder, {})}).schema.keys();
  CommandLine line = parse_command_line(arguments, flags, keys);
  refuse_flags(line);
  request.options = std::make_unique<RunOptions>(
      std::vector<Settings>{settings_of_folder(folder, line.settings), line.settings});
  request.player = folder.network.format.player;
  request.what = std::string(folder.network.format.class_name) +
                 (folder.first_stage ? " and " + folder.first_stage->config.class_name() : "") +
                 (folder.scheduler ? ", " + folder.scheduler->class_name() : "");
  if (folder.scheduler)
    request.remark = scheduler_remark(*folder.scheduler);
  else if (!folder.network.format.is_first_stage())
    request.remark = "no scheduler beside it: the process is that of the options, which may be given as for train";
  if (folder.first_stage) request.first_stage = [stage = *folder.first_stage] { return read_stage(stage); };
  request.tensors = [network = folder.network] { return read_diffusers_tensors(network); };
  return line;
}

NamedTensors read_original(const WeightsFile& file, const OriginalWeights& weights, const Settings& run,
                           const OriginalLayout& layout) {
  NamedTensors tensors;
  for (const auto& [in_file, name] : weights.names)
    tensors.emplace_back(name, file.read(in_file).to(at::kFloat));
  return with_code(ExitCode::checkpoint, [&] { return weights.format.to_ours(tensors, run, layout); });
}

/// The first stage within a training checkpoint of latent diffusion, which divides its latents by "scale_factor".
NamedTensors read_original_stage(const WeightsFile& file, const OriginalWeights& weights,
                                 const Settings& run) {
  double factor = 1;
  for (const auto& [name, type] : file.tensors())
    if (name == "scale_factor" || name.ends_with(".scale_factor"))
      factor = file.read(name).to(at::kDouble).item<double>();
  return state_of_stage(read_original(file, weights, run, {}), factor);
}

/// The same for a file of weights.
CommandLine read_file(std::span<const std::string> arguments, Request& request) {
  const CommandLine first = parse_command_line(arguments, flags, {}, /*lenient=*/true);
  const Settings recipe =
      read_recipe(recipe_path(first.required("recipe", "a file of weights tells no options")));
  CommandLine line = parse_command_line(arguments, flags, RunOptions({recipe}).schema.keys());
  bool average = true;
  std::string order = "legacy";
  OptionSchema schema;
  schema.add("--ema", average, "");
  schema.add("--attention-order", order, {"legacy", "new"}, "");
  for (const char* name : {"ema", "attention-order"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});

  auto file = std::make_shared<const WeightsFile>(WeightsFile::open(request.from));
  std::vector<std::string> names;
  for (const auto& [name, type] : file->tensors()) names.push_back(name);
  const OriginalWeights weights =
      find_original(names, RunOptions({recipe}).train.method, average, request.from.string());
  const OriginalFormat& format = weights.format;
  const auto choice = recipe.find(std::string(format.choice));
  if (choice != recipe.end() && choice->second.value != format.network)
    fail(ExitCode::options, "{} holds {}, and the recipe's {} is {}", request.from.string(), format.name,
         format.choice, choice->second.value);
  request.options = std::make_unique<RunOptions>(std::vector<Settings>{
      recipe, format.settings(), bare(format.player, format.choice, format.network), line.settings});
  request.player = format.player;
  request.what = format.name;
  request.tensors = [file, weights, run = parse_recipe(request.options->schema.to_recipe(), "import"),
                     layout = OriginalLayout{order == "legacy"}] {
    return read_original(*file, weights, run, layout);
  };
  if (request.options->learns_latents())
    request.first_stage = [file, stage = find_original(names, "autoencoder", false, request.from.string()),
                           run = parse_recipe(request.options->schema.to_recipe(), "import")] {
      return read_original_stage(*file, stage, run);
    };
  return line;
}

Request read_request(std::span<const std::string> arguments) {
  Request request;
  if (arguments.empty() || arguments.front().starts_with("-"))
    fail(ExitCode::options, "name what is imported first: ganymede import DIR|FILE --out CHECKPOINT");
  request.from = arguments.front();
  std::error_code unreachable;
  const CommandLine line = fs::is_regular_file(request.from, unreachable) ? read_file(arguments, request)
                                                                          : read_folder(arguments, request);
  if (line.positional.size() > 1) fail(ExitCode::options, "unexpected argument '{}'", line.positional.at(1));
  request.out = line.required("out", "the checkpoint to write");
  if (step_of(request.out).value_or(0) != 0)
    fail(ExitCode::options, "--out {}: that is the name of a later step's checkpoint", request.out.string());
  if (request.options->learns_latents() && !request.first_stage)
    fail(ExitCode::checkpoint,
         "{} holds no first stage, and diffusion.first_stage = autoencoder needs one: import the folder of a "
         "pipeline, or set diffusion.first_stage = none",
         request.from.string());
  const TrainOptions& train = request.options->train;
  request.options->method->check(train.batch / train.accumulate);
  if (fs::exists(request.out, unreachable))
    fail(ExitCode::storage, "{} is there already: choose another --out", request.out.string());
  return request;
}

/// Copies the tensors into the targets, all of them; the first `weights` targets must be among them. Returns the number
/// of tensors.
std::int64_t take_tensors(const NamedTensors& targets, std::size_t weights, const NamedTensors& tensors,
                          const fs::path& from) {
  std::map<std::string, at::Tensor> found(tensors.begin(), tensors.end());
  std::vector<std::string> problems;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto& [name, target] = targets[i];
    const auto tensor = found.find(name);
    if (tensor == found.end()) {
      // Tables that follow from the options are in no file.
      if (i < weights) problems.push_back(name + " is missing");
      continue;
    }
    if (!tensor->second.isfinite().all().item<bool>())
      problems.push_back(name + " holds numbers that are not finite");
    else if (tensor->second.sizes() == target.sizes())
      target.copy_(tensor->second);
    else
      problems.push_back(fmt::format("{} is {} there, {} here", name, fmt::join(tensor->second.sizes(), "x"),
                                     fmt::join(target.sizes(), "x")));
    found.erase(tensor);
  }
  for (const auto& [name, tensor] : found) problems.push_back(name + " has no place");
  if (!problems.empty())
    fail(ExitCode::checkpoint, "{}: these are not the weights of a network with its options: {}",
         from.string(), fmt::format("{}", fmt::join(problems, "; ")).substr(0, 300));
  return std::ssize(tensors);
}

std::int64_t take_network(const Player& player, const Request& request) {
  NamedTensors targets = player.weights(/*average=*/false);
  const std::size_t weights = targets.size();
  for (const auto& buffer : player.buffers(/*average=*/false)) targets.push_back(buffer);
  return take_tensors(targets, weights, request.tensors(), request.from);
}

/// Returns the number of tensors.
std::int64_t take_first_stage(const Method& method, const Request& request) {
  if (!has_first_stage(method)) return 0;
  const NamedTensors targets = method.state();
  return take_tensors(targets, targets.size(), request.first_stage(), request.from);
}

Player& player_of(Method& method, std::string_view name) {
  for (Player* player : method.players())
    if (player->name() == name) return *player;
  throw std::logic_error("import: no player " + std::string(name));
}

ExitCode import_network(Process& process, const Request& request) {
  const auto group = process.group("import");
  const auto method = request.options->method->build(method_context(*request.options, *group, *group));
  Player& player = player_of(*method, request.player);
  method->initialise();
  std::int64_t count = 0;
  process.together([&] {
    if (process.is_root()) count = take_network(player, request) + take_first_stage(*method, request);
  });
  player.broadcast(*group, 0);
  for (const auto& [name, tensor] : method->state()) group->broadcast(tensor, 0)->wait();
  player.reset_average();
  fs::path temporary = request.out;
  temporary += ".tmp";
  CheckpointSaver saver(process, temporary, {.failures = 1});
  saver.begin(*method, {}, {{"options", request.options->schema.to_recipe()}, {"dataset", ""}});
  saver.finish();
  process.together([&] {
    if (!process.is_root()) return;
    rename_durably(temporary / checkpoint_name(0), request.out);
    fs::remove_all(temporary);
    fmt::print("{}: {}, {} tensors, {} numbers\n", request.out.string(), request.what, with_thousands(count),
               with_thousands(player.parameter_count()));
    if (!request.remark.empty()) fmt::print("{}\n", request.remark);
  });
  return ExitCode::done;
}

}  // namespace

int import_command(std::span<const std::string> arguments) {
  return run_as_rank([&](Process& process) {
    const bool help = std::ranges::find(arguments, "--help") != arguments.end();
    if (help) {
      if (process.is_root()) fmt::print("{}{}", usage, flag_help(flags));
      return ExitCode::done;
    }
    Request request;
    process.together([&] { request = read_request(arguments); });
    return import_network(process, request);
  });
}

}  // namespace ganymede
