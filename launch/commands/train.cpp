#include "core/run_folder.h"
#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/cost.h"
#include "launch/first_stage_run.h"
#include "launch/run.h"
#include "launch/start.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede train --recipe NAME|FILE --data F.h5 [F.h5 ...] --out DIR [OPTION ...]
       mpirun -n RANKS ganymede train ...

Trains, or goes on with the run in DIR. SIGUSR1 saves and ends with exit code 75.

)";

const std::vector<Flag> flags{
    {"recipe", "NAME|FILE", "options to start from; `ganymede models` lists the names"},
    {"data", "F.h5 ...", "dataset, one file or several as one", true},
    {"out", "DIR", "run folder: options, log, samples, checkpoints"},
    {"steps", "N", "length of the run in steps; short for --train.steps"},
    {"kimg", "N", "length of the run in thousand real images; short for --train.kimg"},
    {"seed", "S", "short for --train.seed"},
    {"on-collapse", "none|warn|stop|rollback", "short for --collapse.action"},
    {"resume", "auto|never|PATH",
     "auto: go on with DIR's newest sound checkpoint; PATH: start from that checkpoint [auto]"},
    {"resume.allow", "KEY,...",
     "options that may differ from the checkpoint's; `data` allows another dataset"},
    {"init-from", "RUN|CHECKPOINT", "begin with the weights there that fit by name and shape"},
    {"first-stage", "RUN|CHECKPOINT", "diffuse latents of its autoencoder, which has encoded the dataset"},
    {"dry-run", "", "print options, parameters, memory and communication, and end"},
    {"help", "", "this text, then every option of the recipe"},
};

/// What the command line asks for, before it is resolved.
struct Request {
  CommandLine line;
  std::unique_ptr<RunOptions> options;
};

/// Short names of options.
void expand(CommandLine& line) {
  const std::pair<std::string, std::string> short_names[] = {{"steps", "train.steps"},
                                                             {"kimg", "train.kimg"},
                                                             {"seed", "train.seed"},
                                                             {"on-collapse", "collapse.action"}};
  for (const auto& [name, key] : short_names) {
    if (!line.has(name)) continue;
    if (line.settings.contains(key))
      fail(ExitCode::options, "--{} is short for --{}: give one of them", name, key);
    line.settings[key] = {line.value(name), "command line"};
  }
  // The last word on the length of the run is the command line's, whichever unit it is in.
  const bool steps = line.settings.contains("train.steps");
  if (steps && line.settings.contains("train.kimg"))
    fail(ExitCode::options, "give the length of the run in steps or in kimg, not both");
  if (steps) line.settings["train.kimg"] = {"0", "command line"};
}

std::vector<std::string> items_of(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
}

/// The settings that decide which options there are.
Settings choices_of(const std::vector<Settings>& layers, std::span<const std::string> choices) {
  Settings chosen;
  for (const Settings& layer : layers)
    for (const auto& [key, setting] : layer)
      if (std::ranges::find(choices, key) != choices.end()) chosen[key] = setting;
  return chosen;
}

/// The recipe without the options of what `layers`, of which it is one, choose in the place of its own choice within the
/// same train.method: with diffusion.process = flow, ddpm.schedule means nothing.
Settings without_unchosen(const Settings& recipe, const std::vector<Settings>& layers,
                          std::span<const std::string> choices) {
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first && a.second.value == b.second.value; };
  const Settings before = choices_of({recipe}, choices), now = choices_of(layers, choices);
  const auto method = before.find("train.method"), other = now.find("train.method");
  if (std::ranges::equal(before, now, same) || method == before.end() || other->second.value != method->second.value)
    return recipe;
  const std::vector<std::string> own = RunOptions({before}).schema.keys(), there = RunOptions({now}).schema.keys();
  Settings kept = recipe;
  std::erase_if(kept, [&](const auto& item) {
    return std::ranges::find(own, item.first) != own.end() && std::ranges::find(there, item.first) == there.end();
  });
  return kept;
}

/// Throws Error(options) where --resume.allow names what is no option.
void check_allowed(const std::string& allow, std::vector<std::string> known) {
  known.push_back("data");
  for (const std::string& item : items_of(allow)) {
    if (std::ranges::find(known, item) != known.end()) continue;
    const std::string meant = nearest(item, known);
    fail(ExitCode::options, "--resume.allow: there is no option '{}'{}", item,
         meant.empty() ? ": --help lists them" : fmt::format(": did you mean {}?", meant));
  }
}

/// The options decide which options there are: what chooses method and networks is read first.
Request read_request(std::span<const std::string> arguments) {
  const std::string choices[] = {"train.method",          "gan.network",       "gan.loss",
                                 "gan.auxiliary",         "diffusion.network", "diffusion.process",
                                 "diffusion.first_stage", "diffusion.text"};
  const CommandLine first = parse_command_line(arguments, flags, choices, /*lenient=*/true);
  Settings recipe;
  if (first.has("recipe")) recipe = read_recipe(recipe_path(first.value("recipe")));
  // A run folder knows its own options: --recipe may be left out when going on.
  const fs::path config = fs::path(first.value("out")) / RunFolder::config_name;
  std::error_code unreachable;
  if (!first.has("recipe") && first.has("out") && fs::exists(config, unreachable))
    recipe = read_recipe(config.string());
  Settings stage;
  if (first.has("first-stage")) stage = first_stage_settings(first.value("first-stage"));
  recipe = without_unchosen(recipe, {recipe, stage, first.settings}, choices);
  const RunOptions outline({recipe, stage, first.settings});
  Request request{parse_command_line(arguments, flags, outline.schema.keys()), nullptr};
  expand(request.line);
  check_allowed(request.line.value("resume.allow"), outline.schema.keys());
  if (recipe.empty() && !request.line.has("help"))
    fail(ExitCode::options,
         "--recipe is missing: give a recipe's name or file; `ganymede models` lists the names");
  request.options = std::make_unique<RunOptions>(std::vector<Settings>{recipe, stage, request.line.settings});
  if (!request.line.positional.empty())
    fail(ExitCode::options, "unexpected argument '{}'", request.line.positional.front());
  return request;
}

/// Options must not depend on the rank.
void compare_options(Process& process, const RunOptions& options) {
  const auto texts = process.world().gather_texts(options.schema.to_recipe());
  std::vector<std::size_t> different;
  for (std::size_t r = 1; r < texts.size(); ++r)
    if (texts[r] != texts[0]) different.push_back(r);
  if (!different.empty())
    throw AgreedError(
        ExitCode::options,
        fmt::format("the options of rank {} differ from rank 0's: start every rank with the same ones",
                    fmt::join(different, ", ")),
        process.is_root());
}

RunRequest run_request(const Request& request) {
  const auto& data = request.line.flags.at("data");
  return {.options = *request.options,
          .out = request.line.value("out"),
          .data = {data.begin(), data.end()},
          .resume = request.line.value("resume", "auto"),
          .allowed = items_of(request.line.value("resume.allow")),
          .init_from = request.line.value("init-from"),
          .first_stage = request.line.value("first-stage")};
}

}  // namespace

int train_command(std::span<const std::string> arguments) {
  return run_as_rank([&](Process& process) {
    Request request;
    process.together([&] {
      request = read_request(arguments);
      request.options->check(process.size());
    });
    if (request.line.has("help")) {
      if (process.is_root()) fmt::print("{}{}\n{}", usage, flag_help(flags), request.options->schema.help());
      return ExitCode::done;
    }
    compare_options(process, *request.options);
    if (request.line.has("dry-run")) {
      resolve_precision(process, request.options->train, nullptr);
      if (process.is_root()) fmt::print("{}", dry_run_text(*request.options, process.size()));
      return ExitCode::done;
    }
    process.together([&] {
      if (request.line.has("init-from") &&
          request.options->method->stages(request.options->train.batch).size() > 1)
        fail(ExitCode::options,
             "--init-from begins with the layers that are there, and where networks grow most are not: set "
             "growth.from "
             "= 0, or --resume a checkpoint");
    });
    process.together([&] { request.line.required("out", "the folder that the run is to write"); });
    process.together([&] { request.line.required("data", "the dataset's HDF5 file or files"); });
    return Run(process, run_request(request)).go();
  });
}

}  // namespace ganymede
