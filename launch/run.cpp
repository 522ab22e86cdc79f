#include "launch/run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "launch/cost.h"
#include "launch/first_stage_run.h"
#include "launch/postmortem.h"
#include "launch/start.h"
#include "launch/start_record.h"
#include "launch/threads.h"
#include "launch/trainer.h"

namespace ganymede {
namespace {

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
                                                  const std::vector<std::filesystem::path>& data) {
  std::map<std::int64_t, std::string> levels;
  for (const Stage& stage : options.method->stages(options.train.batch))
    if (const std::int64_t side = dataset.height() / stage.shrink;
        std::ranges::find(dataset.levels(), side) != dataset.levels().end())
      levels[stage.shrink] = process.from_root([&] { return ImageDataset::inspect(data, side); });
  return levels;
}

}  // namespace

namespace {

/// A start that somebody ended says nothing against the checkpoint that it began with.
void forgive_last_start(const std::filesystem::path& out) {
  try {
    StartRecord record = StartRecord::read(out);
    if (record.starts == 0 || !was_asked_to_end(read_black_boxes(BlackBox::folder(out)))) return;
    --record.starts;
    record.write(out);
  } catch (const std::exception&) {
    // No boxes, or none that can be read: it counts.
  }
}

}  // namespace

Run::Run(Process& process, const RunRequest& request)
    : process_(process), request_(request), options_(request.options) {
  process.watch(options_.train.watchdog_seconds);
  set_threads(process, options_.train.threads);
  process.together([&] {
    if (process.is_root()) folder_ = std::make_unique<RunFolder>(request_.out);
  });
  if (folder_) forgive_last_start(request_.out);
  process.keep_black_box(request_.out);
  const bool fresh = process.world().agree(folder_ && !folder_->is_fresh() ? 1 : 0) == 0;

  layout_ = process.from_root([&] {
    const std::string layout = ImageDataset::inspect(request.data);
    check_kind(layout_from_json(layout), options_.learns_latents());
    return layout;
  });
  process.together([&] {
    const int neighbours = process.world().local_size();
    dataset_.emplace(ImageDataset::attach(layout_, ImageDataset::default_cache(neighbours)));
    const std::string warning = check_dataset(*dataset_, options_.method->images());
    if (process.is_root() && !warning.empty()) print_error("warning: " + warning);
  });
  levels_ = level_layouts(process, options_, *dataset_, request.data);

  process.use_device(options_.train.device, "train.device", options_.train.deterministic);
  checkpoint_ = find_start(process, request.resume, request_.out, fresh);
  resolve_precision(process, options_.train, checkpoint_ ? &checkpoint_->manifest : nullptr);
  if (checkpoint_) reseed_ = progress_of(checkpoint_->manifest).reseed;
}

ExitCode Run::go() {
  try {
    const ExitCode code = go_to_the_end();
    if (folder_) StartRecord::drop(request_.out);
    return code;
  } catch (const AgreedError& error) {
    // What the user can mend says nothing against the checkpoint.
    constexpr ExitCode mendable[] = {ExitCode::options, ExitCode::dataset, ExitCode::checkpoint, ExitCode::storage,
                                     ExitCode::stopped};
    if (folder_ && std::ranges::find(mendable, error.code()) != std::end(mendable)) StartRecord::drop(request_.out);
    throw;
  }
}

ExitCode Run::go_to_the_end() {
  while (true) {
    const auto outcome = go_on();
    if (const auto* code = std::get_if<ExitCode>(&outcome)) return *code;
    const Setback& setback = std::get<Setback>(outcome);
    if (!roll_back(setback)) throw setback.error;
  }
}

std::optional<SoundCheckpoint> Run::way_back(std::int64_t last_step) {
  try {
    if (auto own = newest_checkpoint(process_, request_.out, last_step)) return own;
  } catch (const AgreedError& error) {
    if (error.code() != ExitCode::checkpoint) throw;
  }
  return checkpoint_ && checkpoint_->manifest.step <= last_step ? checkpoint_ : std::nullopt;
}

bool Run::roll_back(const Setback& setback) {
  if (rollbacks_ == options_.train.rollbacks) return false;
  if (setback.collapsed && options_.train.collapse_action == "stop") return false;
  auto sound = way_back(setback.last_step);
  if (!sound) return false;
  checkpoint_ = std::move(sound);
  if (setback.collapsed) forget_later_checkpoints();
  ++rollbacks_;
  ++reseed_;
  if (process_.is_root())
    print_error(fmt::format("warning: {}: going back to step {} with other random numbers ({} of {} times)",
                            setback.error.what(), checkpoint_->manifest.step, rollbacks_,
                            options_.train.rollbacks));
  return true;
}

void Run::forget_later_checkpoints() {
  const std::int64_t step = checkpoint_->manifest.step;
  CheckpointStore store(request_.out / "checkpoints", options_.train.checkpoint_keep,
                        options_.train.checkpoint_keep_every);
  store.protect(last_best_step(process_, request_.out, step));
  process_.together([&] {
    if (process_.is_root() && checkpoint_->path.parent_path() == request_.out / "checkpoints")
      store.retain(step);
  });
}

std::variant<ExitCode, Run::Setback> Run::go_on() {
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
    process_.together([&] { check_same_run(options_, *dataset_, checkpoint_->manifest, request_.allowed); });
    restore(process_, *method, *checkpoint_, *gradients);
    if (has_first_stage(*method)) check_first_stage(process_, *method, request_.first_stage, layout_);
    if (rollbacks_ > 0)
      for (Player* player : method->players()) player->forgive();
    warn_of_threads(process_, checkpoint_->manifest);
    if (process_.is_root() && !request_.init_from.empty())
      fmt::print("--init-from is passed over: the run goes on with the weights of its checkpoint\n");
  } else {
    if (process_.is_root()) method->initialise();
    for (Player* player : method->players()) {
      player->broadcast(*gradients, 0);
      player->reset_average();  // each rank its part
    }
    process_.together([&] {
      if (has_first_stage(*method) == request_.first_stage.empty())
        fail(ExitCode::options, "{}",
             request_.first_stage.empty()
                 ? "--first-stage is missing: the run of train.method = autoencoder that encoded the dataset"
                 : "--first-stage: this run diffuses no latents, leave it out");
    });
    if (has_first_stage(*method))
      adopt_first_stage(process_, *method, request_.first_stage, layout_, *gradients);
    if (!request_.init_from.empty()) {
      const bool has_tokens = options_.method->images().tokens > 0;
      init_from(process_, *method, request_.init_from, has_tokens ? &*dataset_ : nullptr, *gradients);
      if (has_first_stage(*method)) adopt_statistics(process_, *method, request_.init_from, *gradients);
    }
  }
  process_.together([&] {
    if (folder_) tell_start(start, *method);
  });
  Trainer trainer({process_,
                   options_,
                   *dataset_,
                   *method,
                   folder_.get(),
                   request_.out,
                   {gradients.get(), batch_norm.get()},
                   levels_});
  // Told once all of this has been left in order: an exception that passes through would abort NCCL's communicators.
  std::optional<Setback> setback;
  ExitCode code{};
  try {
    code = trainer.run(start);
  } catch (const ReplicasDiffer&) {
    throw;
  } catch (const Collapsed& error) {
    setback = {error, std::min(error.sound_step(), trainer.saved_step()), true};
  } catch (const AgreedError& error) {
    if (error.code() != ExitCode::diverged) throw;
    setback = {error, trainer.saved_step(), false};
  }
  if (setback) return *setback;
  if (process_.is_root())
    fmt::print("{}: {}\n", code == ExitCode::stopped ? "stopped on request after saving" : "done",
               request_.out.string());
  return code;
}

void Run::tell_start(const RunProgress& start, const Method& method) {
  folder_->write_config(options_.schema.to_recipe());
  folder_->cut_back(start.step);
  const std::int64_t batches = method.batches_per_step(), total = options_.total_steps(batches);
  const std::vector<Stage> stages = options_.method->stages(options_.train.batch);
  if (rollbacks_ == 0)
    for (const std::string& warning : options_.method->warnings(total)) print_error("warning: " + warning);
  fmt::print("{} {} of {} steps, {} images a step, {} ranks, {}, {} threads each, {}, {}\n",
             checkpoint_ ? "resuming at step" : "starting at step", start.step, total,
             stages[stage_at(stages, start.position)].batch * batches, process_.size(),
             process_.device().is_cuda() ? "a GPU each" : "CPU", at::get_num_threads(),
             options_.train.precision, request_.out.string());
  std::fflush(stdout);
}

}  // namespace ganymede
