#include <ATen/Parallel.h>
#include <sched.h>

#include <thread>

#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/cost.h"
#include "launch/text.h"
#include "launch/trainer.h"

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
    {"resume", "auto|never|PATH",
     "auto: go on with DIR's newest sound checkpoint; PATH: start from that checkpoint [auto]"},
    {"resume.allow", "KEY,...",
     "options that may differ from the checkpoint's; `data` allows another dataset"},
    {"init-from", "RUN|CHECKPOINT", "begin with the weights there that fit by name and shape"},
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
  for (const char* name : {"steps", "kimg", "seed"})
    if (line.has(name)) line.settings[fmt::format("train.{}", name)] = {line.value(name), "command line"};
  // The last word on the length of the run is the command line's, whichever unit it is in.
  if (line.has("steps") && line.has("kimg")) fail(ExitCode::options, "give --steps or --kimg, not both");
  if (line.has("steps")) line.settings["train.kimg"] = {"0", "command line"};
}

std::vector<std::string> items_of(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
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
  const std::string choices[] = {"train.method", "gan.network"};
  const CommandLine first = parse_command_line(arguments, flags, choices, /*lenient=*/true);
  Settings recipe;
  if (first.has("recipe")) recipe = read_recipe(recipe_path(first.value("recipe")));
  // A run folder knows its own options: --recipe may be left out when going on.
  const fs::path config = fs::path(first.value("out")) / "config.cfg";
  if (!first.has("recipe") && first.has("out") && fs::exists(config)) recipe = read_recipe(config.string());
  const RunOptions outline({recipe, first.settings});
  Request request{parse_command_line(arguments, flags, outline.schema.keys()), nullptr};
  expand(request.line);
  check_allowed(request.line.value("resume.allow"), outline.schema.keys());
  if (recipe.empty() && !request.line.has("help"))
    fail(ExitCode::options,
         "--recipe is missing: give a recipe's name or file; `ganymede models` lists the names");
  request.options = std::make_unique<RunOptions>(std::vector<Settings>{recipe, request.line.settings});
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

void set_threads(Process& process, std::int64_t wanted) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  const int mine = CPU_COUNT(&allowed);
  // A launcher that binds has already shared the cores out.
  const bool bound = mine < static_cast<int>(std::thread::hardware_concurrency());
  const int share = bound ? mine : std::max(1, mine / process.world().local_size());
  at::set_num_threads(wanted > 0 ? static_cast<int>(wanted) : share);
}

/// Throws Error(dataset) unless the images are what the networks expect.
void check_dataset(const ImageDataset& dataset, const ImageSpec& spec) {
  const auto expect = [](const char* what, std::int64_t found, std::int64_t expected, const char* remedy) {
    if (found != expected)
      fail(ExitCode::dataset, "the dataset has {} {}, the networks expect {}: {}", found, what, expected,
           remedy);
  };
  expect("channels", dataset.channels(), spec.channels,
         "pack it with --channels, or set the network's image_channels");
  expect("rows", dataset.height(), spec.height, "pack it with --size, or set the network's resolution");
  expect("columns", dataset.width(), spec.width, "pack it with --size, or set the network's resolution");
  if (dataset.classes() > spec.classes)
    fail(ExitCode::dataset,
         "the dataset has {} classes, the networks expect at most {}: set the network's classes",
         dataset.classes(), spec.classes);
}

/// Refuses to go on with what is another run.
void check_same_run(const RunOptions& options, const ImageDataset& dataset, const Manifest& manifest,
                    const std::string& allow) {
  const std::vector<std::string> allowed = items_of(allow);
  const Settings stored = parse_recipe(manifest.header.at("options").get<std::string>(), "checkpoint");
  auto differences = options.schema.differences(stored, allowed);
  if (manifest.header.at("dataset") != dataset.digest() &&
      std::ranges::find(allowed, "data") == allowed.end())
    differences.push_back("data: another dataset than the checkpoint's");
  if (!differences.empty())
    fail(ExitCode::checkpoint,
         "the checkpoint of step {} belongs to another run: {}: give the same options, or name those that "
         "may change "
         "in --resume.allow",
         manifest.step, fmt::join(differences, "; "));
}

/// RUN or CHECKPOINT: the checkpoint itself, or a run's newest.
fs::path checkpoint_at(const fs::path& path) {
  if (!fs::exists(path))
    fail(ExitCode::checkpoint, "{} does not exist: name a run or a checkpoint", path.string());
  if (fs::exists(path / Manifest::file_name)) return path;
  const auto list = CheckpointStore(path / "checkpoints", 1).list();
  if (list.empty())
    fail(ExitCode::checkpoint, "{} is neither a checkpoint nor a run with one", path.string());
  return list.front();
}

/// Takes over every weight and buffer that fits by name and shape, and says what did not.
void init_from(Process& process, Method& method, const fs::path& path, Communicator& group) {
  process.together([&] {
    if (!process.is_root()) return;
    const fs::path checkpoint = checkpoint_at(path);
    const NamedTensors saved = read_tensors(checkpoint, read_manifest(checkpoint));
    const std::map<std::string, at::Tensor> by_name(saved.begin(), saved.end());
    std::int64_t taken = 0;
    std::vector<std::string> skipped;
    for (Player* player : method.players())
      for (const auto& [name, tensor] : player->state()) {
        if (name.find("/adam_") != std::string::npos) continue;
        const auto found = by_name.find(name);
        if (found != by_name.end() && found->second.sizes() == tensor.sizes()) {
          tensor.copy_(found->second);
          ++taken;
        } else {
          skipped.push_back(name + (found == by_name.end() ? " (absent)" : " (another shape)"));
        }
      }
    fmt::print("init-from {}: took {} tensors, skipped {}{}\n", checkpoint.string(), taken, skipped.size(),
               skipped.empty() ? "" : fmt::format(": {}", fmt::join(skipped, ", ")));
    if (taken == 0)
      fail(ExitCode::checkpoint, "{}: no tensor fits this recipe's networks", checkpoint.string());
  });
  for (Player* player : method.players()) player->broadcast(group, 0);
}

/// What the run goes on from; nothing means a fresh start. Collective.
std::optional<SoundCheckpoint> find_start(Process& process, const std::string& choice, const fs::path& out,
                                          bool fresh) {
  if (choice == "auto") return newest_checkpoint(process, out);
  if (choice != "never")
    return open_checkpoint(process, process.from_root([&] { return checkpoint_at(choice).string(); }));
  process.together([&] {
    if (!fresh && process.is_root())
      fail(ExitCode::storage, "{} already holds a run: choose another --out, or go on with --resume auto",
           out.string());
  });
  return std::nullopt;
}

ExitCode train(Process& process, const Request& request) {
  const RunOptions& options = *request.options;
  const fs::path out = request.line.value("out");
  process.watch(options.train.watchdog_seconds);
  set_threads(process, options.train.threads);

  std::unique_ptr<RunFolder> folder;
  process.together([&] {
    if (process.is_root()) folder = std::make_unique<RunFolder>(out);
  });
  const bool fresh = process.world().agree(folder && !folder->is_fresh() ? 1 : 0) == 0;

  const auto& data = request.line.flags.at("data");
  const std::string layout = process.from_root([&] {
    return ImageDataset::inspect({data.begin(), data.end()});
  });
  std::optional<ImageDataset> dataset;
  process.together([&] {
    dataset.emplace(ImageDataset::attach(layout));
    check_dataset(*dataset, options.method->images());
  });

  process.use_device(options.train.device, options.train.deterministic);
  const auto gradients = process.group("gradients");
  const auto batch_norm = process.group("batch norm");
  const MethodContext context = method_context(options, *gradients, *batch_norm, process.device());
  const auto method = options.method->build(context);
  const auto checkpoint = find_start(process, request.line.value("resume", "auto"), out, fresh);
  RunProgress start;
  if (checkpoint) {
    process.together(
        [&] { check_same_run(options, *dataset, checkpoint->manifest, request.line.value("resume.allow")); });
    restore(process, *method, *checkpoint, *gradients);
    start = progress_of(checkpoint->manifest);
  } else {
    if (process.is_root()) method->initialise();
    for (Player* player : method->players()) player->broadcast(*gradients, 0);
    if (request.line.has("init-from"))
      init_from(process, *method, request.line.value("init-from"), *gradients);
  }
  process.together([&] {
    if (!folder) return;
    folder->write_config(options.schema.to_recipe());
    folder->cut_log_back(start.step);
    const std::int64_t total = options.total_steps(method->batches_per_step());
    fmt::print("{} {} of {} steps, {} images a step, {} ranks, {}, {} threads each, {}\n",
               checkpoint ? "resuming at step" : "starting at step", start.step, total,
               options.train.batch * method->batches_per_step(), process.size(),
               process.device().is_cuda() ? "a GPU each" : "CPU", at::get_num_threads(), out.string());
    std::fflush(stdout);
  });
  Trainer trainer(
      {process, options, *dataset, *method, folder.get(), out, {gradients.get(), batch_norm.get()}});
  const ExitCode code = trainer.run(start);
  if (process.is_root())
    fmt::print("{}: {}\n", code == ExitCode::stopped ? "stopped on request after saving" : "done",
               out.string());
  return code;
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
      if (process.is_root()) fmt::print("{}", dry_run_text(*request.options, process.size()));
      return ExitCode::done;
    }
    process.together([&] { request.line.required("out", "the folder that the run is to write"); });
    process.together([&] { request.line.required("data", "the dataset's HDF5 file or files"); });
    return train(process, request);
  });
}

}  // namespace ganymede
