#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "core/error.h"
#include "core/files.h"
#include "launch/commands.h"
#include "launch/cost.h"
#include "launch/diffusers_folder.h"
#include "launch/flag_command.h"
#include "launch/recipe.h"
#include "launch/snapshot.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede import DIR --out CHECKPOINT [--SECTION.KEY VALUE ...]

Makes a checkpoint of step 0 from what diffusers' save_pretrained() wrote: a pipeline, or a network alone
(UNet2DModel, DiTTransformer2DModel). Its options are those of the network and of the scheduler beside it;
others may be given as for train. `sample`, `evaluate`, `export` and `train --init-from` take it.

The labels that a UNet knows are all taken for classes. Where the last stands for none, say so by the share
of images that it was trained with: --diffusion.label_dropout 0.1.

)";

const std::vector<Flag> flags{
    {"out", "CHECKPOINT", "the checkpoint to write: a new folder"},
    {"help", "", "this text"},
};

struct Request {
  fs::path from, out;
  std::optional<DiffusersFolder> folder;
  std::unique_ptr<RunOptions> options;
};

/// What the folder says of a run with such a network. Numbers are taken as they are: float32, without an average.
Settings settings_of_folder(const DiffusersFolder& folder, const Settings& given) {
  const DiffusersNetwork& network = folder.network;
  const auto dropout = given.find("diffusion.label_dropout");
  const bool none = dropout == given.end() ? says_last_label_is_none(network)
                                           : parse_number(dropout->first, dropout->second) > 0;
  Settings settings{{"train.precision", {"fp32", "import"}},
                    {std::string(network.format.player) + ".ema", {"0", "import"}}};
  settings[std::string(network.format.choice)] = {std::string(network.format.network), "import"};
  settings.merge(network.format.settings(network.config, none));
  if (folder.scheduler) settings.merge(scheduler_settings(*folder.scheduler));
  return settings;
}

Request read_request(std::span<const std::string> arguments) {
  Request request;
  if (arguments.empty() || arguments.front().starts_with("-"))
    fail(ExitCode::options, "name the folder first: ganymede import DIR --out CHECKPOINT");
  request.from = arguments.front();
  request.folder = open_diffusers_folder(request.from);
  // The folder decides which options there are, and one of them what it says.
  const std::vector<std::string> keys = RunOptions({settings_of_folder(*request.folder, {})}).schema.keys();
  const CommandLine line = parse_command_line(arguments, flags, keys);
  if (line.positional.size() > 1) fail(ExitCode::options, "unexpected argument '{}'", line.positional.at(1));
  request.out = line.required("out", "the checkpoint to write");
  if (step_of(request.out).value_or(0) != 0)
    fail(ExitCode::options, "--out {}: that is the name of a later step's checkpoint", request.out.string());
  request.options = std::make_unique<RunOptions>(
      std::vector<Settings>{settings_of_folder(*request.folder, line.settings), line.settings});
  const TrainOptions& train = request.options->train;
  request.options->method->check(train.batch / train.accumulate);
  if (std::error_code unreachable; fs::exists(request.out, unreachable))
    fail(ExitCode::storage, "{} is there already: choose another --out", request.out.string());
  return request;
}

/// Copies the folder's tensors into the player's, all of them. Returns their number.
std::int64_t take_tensors(const Player& player, const DiffusersNetwork& network) {
  NamedTensors targets = player.weights(/*average=*/false);
  const std::size_t weights = targets.size();
  for (const auto& buffer : player.buffers(/*average=*/false)) targets.push_back(buffer);
  const NamedTensors tensors = read_diffusers_tensors(network);
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
    if (tensor->second.sizes() == target.sizes())
      target.copy_(tensor->second);
    else
      problems.push_back(fmt::format("{} is {} there, {} here", name, fmt::join(tensor->second.sizes(), "x"),
                                     fmt::join(target.sizes(), "x")));
    found.erase(tensor);
  }
  for (const auto& [name, tensor] : found) problems.push_back(name + " has no place");
  if (!problems.empty())
    fail(ExitCode::checkpoint, "{}: the weights are not those of its {}: {}", network.folder.string(),
         "config.json", fmt::format("{}", fmt::join(problems, "; ")).substr(0, 300));
  return std::ssize(tensors);
}

Player& player_of(Method& method, std::string_view name) {
  for (Player* player : method.players())
    if (player->name() == name) return *player;
  throw std::logic_error("import: no player " + std::string(name));
}

ExitCode import_network(Process& process, const Request& request) {
  const auto group = process.group("import");
  const auto method = request.options->method->build(method_context(*request.options, *group, *group));
  Player& player = player_of(*method, request.folder->network.format.player);
  method->initialise();
  std::int64_t count = 0;
  process.together([&] {
    if (process.is_root()) count = take_tensors(player, request.folder->network);
  });
  player.broadcast(*group, 0);
  player.reset_average();
  fs::path temporary = request.out;
  temporary += ".tmp";
  Snapshots(process, temporary, 1)
      .save(*method, {}, {{"options", request.options->schema.to_recipe()}, {"dataset", ""}});
  process.together([&] {
    if (!process.is_root()) return;
    rename_durably(temporary / checkpoint_name(0), request.out);
    fs::remove_all(temporary);
    fmt::print("{}: {}, {} tensors, {} numbers{}\n", request.out.string(),
               request.folder->network.format.class_name, with_thousands(count),
               with_thousands(player.parameter_count()),
               request.folder->scheduler ? ", " + request.folder->scheduler->class_name() : "");
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
