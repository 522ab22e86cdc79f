#include <ATen/Parallel.h>

#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/cost.h"
#include "launch/device.h"
#include "launch/start.h"
#include "launch/threads.h"
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
    {"on-collapse", "none|warn|stop|rollback", "short for --collapse.action"},
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
  const std::string choices[] = {"train.method", "gan.network", "diffusion.network", "diffusion.process"};
  const CommandLine first = parse_command_line(arguments, flags, choices, /*lenient=*/true);
  Settings recipe;
  if (first.has("recipe")) recipe = read_recipe(recipe_path(first.value("recipe")));
  // A run folder knows its own options: --recipe may be left out when going on.
  const fs::path config = fs::path(first.value("out")) / RunFolder::config_name;
  std::error_code unreachable;
  if (!first.has("recipe") && first.has("out") && fs::exists(config, unreachable))
    recipe = read_recipe(config.string());
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

/// Settles train.precision = auto: what the run began with, else what every rank's device is good at.
/// Collective.
void resolve_precision(Process& process, TrainOptions& options, const Manifest* begun) {
  if (options.precision != "auto") return;
  if (begun) {
    const Settings stored = parse_recipe(begun->header.at("options").get<std::string>(), "checkpoint");
    if (const auto setting = stored.find("train.precision"); setting != stored.end())
      options.precision = setting->second.value;
  } else {
    options.precision =
        process.world().agree(has_bf16_units(process.device()) ? 0 : 1) == 0 ? "bf16" : "fp32";
  }
}

/// On as many ranks a run goes on bit for bit, if each has as many threads.
void warn_of_threads(const Process& process, const Manifest& begun) {
  const int threads = at::get_num_threads(), before = begun.header.value("threads", threads);
  if (process.is_root() && begun.header.at("ranks") == process.size() && threads != before)
    print_error(
        fmt::format("warning: {} threads a rank, and {} when the checkpoint was saved: the run goes on up to "
                    "rounding; with --train.threads {} bit for bit",
                    threads, before, before));
}

/// The dataset's smaller copies that stages of training can read, by Stage::shrink. Collective.
std::map<std::int64_t, std::string> level_layouts(Process& process, const RunOptions& options,
                                                  const ImageDataset& dataset,
                                                  const std::vector<std::string>& data) {
  std::map<std::int64_t, std::string> levels;
  for (const Stage& stage : options.method->stages(options.train.batch))
    if (const std::int64_t side = dataset.height() / stage.shrink;
        std::ranges::find(dataset.levels(), side) != dataset.levels().end())
      levels[stage.shrink] = process.from_root([&] {
        return ImageDataset::inspect({data.begin(), data.end()}, side);
      });
  return levels;
}

/// A run in its folder, from any of its checkpoints on.
class Run {
 public:
  Run(Process& process, const Request& request);
  /// To the run's end. Where it diverges it goes back to the newest sound checkpoint, if there is one, and draws other
  /// random numbers from there on, up to train.rollbacks times. Collective.
  ExitCode go();

 private:
  ExitCode go_on();
  void tell_start(const RunProgress& start, const Method& method);
  /// Whether it can be tried again, from `checkpoint_`.
  bool roll_back(const AgreedError& error);
  /// They hold what has collapsed: another start must not go on with it. Collective.
  void forget_later_checkpoints();

  Process& process_;
  const Request& request_;
  RunOptions& options_;
  std::filesystem::path out_;
  std::unique_ptr<RunFolder> folder_;  // rank 0's
  std::optional<ImageDataset> dataset_;
  std::map<std::int64_t, std::string> levels_;
  std::optional<SoundCheckpoint> checkpoint_;
  std::uint64_t reseed_ = 0;
  std::int64_t rollbacks_ = 0;
};

Run::Run(Process& process, const Request& request)
    : process_(process), request_(request), options_(*request.options), out_(request.line.value("out")) {
  process.watch(options_.train.watchdog_seconds);
  set_threads(process, options_.train.threads);
  process.together([&] {
    if (process.is_root()) folder_ = std::make_unique<RunFolder>(out_);
  });
  const bool fresh = process.world().agree(folder_ && !folder_->is_fresh() ? 1 : 0) == 0;

  const auto& data = request.line.flags.at("data");
  const std::string layout = process.from_root([&] {
    return ImageDataset::inspect({data.begin(), data.end()});
  });
  process.together([&] {
    const int neighbours = process.world().local_size();
    dataset_.emplace(ImageDataset::attach(layout, ImageDataset::default_cache(neighbours)));
    const std::string warning = check_dataset(*dataset_, options_.method->images());
    if (process.is_root() && !warning.empty()) print_error("warning: " + warning);
  });
  levels_ = level_layouts(process, options_, *dataset_, data);

  process.use_device(options_.train.device, "train.device", options_.train.deterministic);
  checkpoint_ = find_start(process, request.line.value("resume", "auto"), out_, fresh);
  resolve_precision(process, options_.train, checkpoint_ ? &checkpoint_->manifest : nullptr);
  if (checkpoint_) reseed_ = progress_of(checkpoint_->manifest).reseed;
}

ExitCode Run::go() {
  while (true) {
    try {
      return go_on();
    } catch (const AgreedError& error) {
      if (error.code() != ExitCode::diverged || !roll_back(error)) throw;
    }
  }
}

bool Run::roll_back(const AgreedError& error) {
  if (rollbacks_ == options_.train.rollbacks) return false;
  const auto* collapsed = dynamic_cast<const Collapsed*>(&error);
  if (collapsed && options_.train.collapse_action == "stop") return false;
  auto sound = collapsed ? newest_checkpoint(process_, out_, collapsed->sound_step())
                         : newest_checkpoint(process_, out_);
  if (!sound) return false;
  checkpoint_ = std::move(sound);
  if (collapsed) forget_later_checkpoints();
  ++rollbacks_;
  ++reseed_;
  if (process_.is_root())
    print_error(fmt::format("warning: {}: going back to step {} with other random numbers ({} of {} times)",
                            error.what(), checkpoint_->manifest.step, rollbacks_, options_.train.rollbacks));
  return true;
}

void Run::forget_later_checkpoints() {
  const std::int64_t step = checkpoint_->manifest.step;
  CheckpointStore store(out_ / "checkpoints", options_.train.checkpoint_keep);
  store.protect(last_best_step(process_, out_, step));
  process_.together([&] {
    if (process_.is_root()) store.retain(step);
  });
}

ExitCode Run::go_on() {
  const auto gradients = process_.group("gradients");
  const auto batch_norm = process_.group("batch norm");
  RunProgress start = checkpoint_ ? progress_of(checkpoint_->manifest) : RunProgress{};
  start.reseed = reseed_;
  MethodContext context = method_context(options_, *gradients, *batch_norm, process_.device());
  context.reseed = start.reseed;
  context.position = start.position;
  context.alive = [&](std::string_view activity) { process_.note(activity); };
  const auto method = options_.method->build(context);
  if (checkpoint_) {
    process_.together([&] {
      check_same_run(options_, *dataset_, checkpoint_->manifest,
                     items_of(request_.line.value("resume.allow")));
    });
    restore(process_, *method, *checkpoint_, *gradients);
    warn_of_threads(process_, checkpoint_->manifest);
    if (process_.is_root() && request_.line.has("init-from"))
      fmt::print("--init-from is passed over: the run goes on with the weights of its checkpoint\n");
  } else {
    if (process_.is_root()) method->initialise();
    for (Player* player : method->players()) player->broadcast(*gradients, 0);
    if (request_.line.has("init-from"))
      init_from(process_, *method, request_.line.value("init-from"), *gradients);
  }
  process_.together([&] {
    if (folder_) tell_start(start, *method);
  });
  Trainer trainer({process_,
                   options_,
                   *dataset_,
                   *method,
                   folder_.get(),
                   out_,
                   {gradients.get(), batch_norm.get()},
                   levels_});
  const ExitCode code = trainer.run(start);
  if (process_.is_root())
    fmt::print("{}: {}\n", code == ExitCode::stopped ? "stopped on request after saving" : "done",
               out_.string());
  return code;
}

void Run::tell_start(const RunProgress& start, const Method& method) {
  folder_->write_config(options_.schema.to_recipe());
  folder_->cut_log_back(start.step);
  const std::int64_t batches = method.batches_per_step(), total = options_.total_steps(batches);
  const std::vector<Stage> stages = options_.method->stages(options_.train.batch);
  if (rollbacks_ == 0)
    for (const std::string& warning : options_.method->warnings(total)) print_error("warning: " + warning);
  fmt::print("{} {} of {} steps, {} images a step, {} ranks, {}, {} threads each, {}, {}\n",
             checkpoint_ ? "resuming at step" : "starting at step", start.step, total,
             stages[stage_at(stages, start.position)].batch * batches, process_.size(),
             process_.device().is_cuda() ? "a GPU each" : "CPU", at::get_num_threads(),
             options_.train.precision, out_.string());
  std::fflush(stdout);
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
    process.together([&] { request.line.required("out", "the folder that the run is to write"); });
    process.together([&] { request.line.required("data", "the dataset's HDF5 file or files"); });
    return Run(process, request).go();
  });
}

}  // namespace ganymede
