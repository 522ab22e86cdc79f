#include "launch/trainer.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <set>
#include <utility>

#include "core/host_name.h"
#include "core/signals.h"
#include "core/trace_range.h"
#include "distributed/replica_check.h"
#include "launch/captions.h"
#include "launch/conditions.h"
#include "launch/device.h"
#include "launch/environment.h"
#include "launch/start_record.h"
#include "launch/text.h"
#include "launch/training_pictures.h"

namespace ganymede {
namespace {

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

}  // namespace

Trainer::Trainer(const Setting& setting)
    : setting_(setting),
      stages_(setting.options.method->stages(setting.options.train.batch)),
      saver_(setting.process, setting.out / "checkpoints",
             {.keep = setting.options.train.checkpoint_keep,
              .keep_every = setting.options.train.checkpoint_keep_every,
              .retry_seconds = setting.options.train.checkpoint_retry_seconds,
              .failures = setting.options.train.checkpoint_failures}),
      control_(setting.process.world().duplicate("control")),
      chain_period_(setting.options.train.chain_period(setting.process.device())),
      digests_(setting.process.rank(), setting.process.size()) {
  if (setting.options.train.evaluate_every > 0)
    scores_.emplace(TrainingScores::Setting{setting.process, setting.options, setting.dataset, setting.method,
                                            setting.out});
  if (setting.options.train.collapse_action != "none")
    collapse_.emplace(setting.process, setting.options, setting.dataset);
}

void Trainer::note(std::string_view activity) {
  setting_.process.note(activity);
}

bool Trainer::is_due(std::int64_t total) const {
  const TrainOptions& options = setting_.options.train;
  const auto every = [&](std::int64_t period) { return period > 0 && progress_.step % period == 0; };
  return progress_.step == total || every(options.log_every) || every(options.sample_every) ||
         every(options.checkpoint_every) || every(options.checkpoint_keep_every) || every(options.evaluate_every) ||
         (collapse_ && collapse_->is_due(progress_.step));
}

void Trainer::send(const StepReport& report) {
  Pending pending{.step = progress_.step, .names = {}, .values = {}, .tensors = {}, .arrived = std::nullopt};
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : report) {
    pending.names.push_back(name);
    values.push_back(value);
  }
  for (const Player* player : setting_.method.players()) {
    values.push_back(player->last_gradient_norm().to(at::kDouble));
    values.push_back(player->guard().skipped());
  }
  at::Tensor joined = at::stack(values);
  if (has_link(progress_.step)) {
    const NamedTensors tensors = chained_tensors();
    pending.tensors = names_of(tensors);
    joined = at::cat({joined, digests_.numbers(tensors)});
  }
  if (joined.is_cpu()) {
    pending.values = joined;
  } else {
    pending.values = at::empty(joined.sizes(), at::TensorOptions(at::kDouble).pinned_memory(true));
    pending.values.copy_(joined, /*non_blocking=*/true);
    pending.arrived.emplace(joined.device().type());
    pending.arrived->record(c10::impl::VirtualGuardImpl(joined.device().type()).getStream(joined.device()));
  }
  pending_.push_back(std::move(pending));
}

void Trainer::wait_for(const Pending& pending) {
  if (!pending.arrived) return;
  setting_.process.enter("the GPU");
  while (!pending.arrived->query()) {
    for (Communicator* group : setting_.groups) group->check_health();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  setting_.process.leave();
}

Trainer::Agreed Trainer::agree(bool now) {
  const TraceRange range("agree");
  const TrainOptions& options = setting_.options.train;
  const double minutes =
      std::chrono::duration<double, std::ratio<60>>(std::chrono::steady_clock::now() - saved_at_).count();
  // The clock of rank 0 alone decides, and every rank's signal counts.
  const bool overdue =
      setting_.process.is_root() && (saver_.retry_is_due() ||
                                     (options.checkpoint_minutes > 0 && minutes >= options.checkpoint_minutes));
  const std::size_t later = now || setting_.process.device().is_cpu() ? 0 : 1;
  const std::vector<double> flags{stop_requested() ? 1. : 0., overdue ? 1. : 0., saver_.is_busy() ? 1. : 0.};
  std::vector<at::Tensor> parts{at::tensor(flags, at::kDouble)};
  for (std::size_t i = 0; i + later < pending_.size(); ++i) {
    wait_for(pending_[i]);
    parts.push_back(pending_[i].values);
  }
  at::Tensor totals = at::cat(parts);
  control_->all_reduce(totals)->wait();
  const double* values = totals.data_ptr<double>();
  const Agreed agreed{values[0] > 0, values[1] > 0, values[2] == 0};
  for (values += flags.size(); pending_.size() > later; pending_.pop_front()) {
    take(pending_.front(), values);
    values += pending_.front().values.numel();
  }
  return agreed;
}

void Trainer::take(const Pending& pending, const double* totals) {
  figures_.clear();
  bool sound = true;
  std::vector<double> skipped;
  const std::size_t digests = pending.tensors.empty() ? 0 : StepDigests::count(pending.tensors.size());
  const double* const end = totals + pending.values.numel() - digests;
  if (chain_ && digests > 0) {
    Figures all;
    for (std::size_t i = 0; i < pending.names.size(); ++i) all.emplace_back(pending.names[i], totals[i]);
    add_link(pending.step, all, {end, digests}, pending.tensors);
  }
  for (const double* player = totals + pending.names.size(); player < end; player += 2) {
    sound = sound && std::isfinite(player[0]);
    skipped.push_back(player[1] / setting_.process.size());
  }
  // What a skipped update computed may have overflowed: it is left out.
  const bool skips = tell_skipped(pending.step, std::move(skipped));
  for (std::size_t i = 0; i < pending.names.size(); ++i)
    if (std::isfinite(totals[i]))
      figures_.emplace_back(pending.names[i], totals[i]);
    else
      sound = sound && skips;
  if (sound) return;
  line_.finish();
  saver_.finish();  // of a step that was found sound
  throw AgreedError(
      ExitCode::diverged,
      fmt::format("training diverged: a loss or gradient of step {} is not finite; the last checkpoint is of "
                  "step {}. Lower the learning rates, or add a gradient penalty or clipping",
                  pending.step, std::max<std::int64_t>(saved_step(), 0)),
      setting_.process.is_root());
}

bool Trainer::tell_skipped(std::int64_t step, std::vector<double> skipped) {
  const std::vector<Player*> players = setting_.method.players();
  const std::vector<double> before = std::exchange(skipped_, std::move(skipped));
  for (std::size_t i = 0; i < players.size(); ++i) {
    const auto count = static_cast<std::uint64_t>(skipped_[i]);
    // Looking for its scale, float16 skips now and then; and nobody reads a thousand such lines.
    if (players[i]->guard().scales() || std::bit_width(count) == std::bit_width(static_cast<std::uint64_t>(before[i])))
      continue;
    line_.finish();
    if (setting_.process.is_root())
      print_error(
          fmt::format("warning: at step {} updates of the {} are left out, {} so far: a loss or gradient is not finite. "
                      "After {} one more ends the run as diverged; {} good ones make up for one",
                      step, players[i]->name(), count, UpdateGuard::patience, UpdateGuard::atonement));
  }
  return skipped_ != before;
}

ExitCode Trainer::run(const RunProgress& start) {
  try {
    return train(start);
  } catch (const AgreedError&) {
    // What was sound when its save began is so still: it may be what the run goes back to.
    saver_.finish();
    throw;
  }
}

ExitCode Trainer::train(const RunProgress& start) {
  progress_ = start;
  saved_at_ = std::chrono::steady_clock::now();
  skipped_.clear();
  for (const Player* player : setting_.method.players())
    skipped_.push_back(player->guard().skipped().item<double>());
  const TrainOptions& options = setting_.options.train;
  Process& process = setting_.process;
  Method& method = setting_.method;
  const std::int64_t total = setting_.options.total_steps(method.batches_per_step());
  open_feed();
  open_log();
  open_chain();
  line_.start(progress_.step);
  if (progress_.step == 0 && options.sample_every > 0) write_pictures();
  saver_.begin_from(start.step > 0 ? start.step : -1, scores_ ? scores_->go_on_from(progress_.step)
                                                            : last_best_step(process, setting_.out, progress_.step));
  bool is_scored = !scores_ || !scores_->is_due(progress_.step, total) || score();
  if (collapse_) collapse_->remember(progress_.collapse);
  keep_way_back();
  bool stop = !is_scored, is_counted = true;  // among the starts that got to no checkpoint
  while (progress_.step < total && !stop) {
    process.begin_step(progress_.step + 1);
    note("training");
    const TraceRange range("step");
    const bool is_linked = has_link(progress_.step + 1);
    const StepReport own = method.step(progress_.step + 1, [&] {
      note("loading a batch");
      Batch batch = feed_->batches.next();
      if (is_linked) digests_.add(batch);
      return batch;
    });
    ++progress_.step;
    send(own);
    move_on();
    if (progress_.step < total) feed_->batches.prefetch(options.accumulate * method.batches_per_step());
    Agreed agreed = agree(is_due(total));
    stop = agreed.stop;
    // Nothing is saved that may not be finite.
    if ((agreed.save || stop) && !pending_.empty()) agree(/*now=*/true);
    const bool looks = collapse_ && !stop && collapse_->is_due(progress_.step);
    if (looks)
      for (auto& figure : collapse_->look(method, progress_.step, figures_))
        figures_.push_back(std::move(figure));
    if (looks || progress_.step % options.log_every == 0 || progress_.step == total || stop) report(total);
    if (looks) collapse_->judge(progress_.step);
    if (looks) keep_way_back();
    const bool grid_due =
        options.sample_every > 0 && (progress_.step % options.sample_every == 0 || progress_.step == total);
    if (grid_due && !stop) write_pictures();
    if (agreed.idle) saver_.advance();
    if (is_counted && saver_.saved_step() > start.step) {
      if (process.is_root()) StartRecord::drop(setting_.out);
      is_counted = false;
    }
    if (options.compare_every > 0 && progress_.step % options.compare_every == 0) compare_ranks();
    const bool periodic = (options.checkpoint_every > 0 && progress_.step % options.checkpoint_every == 0) ||
                          (options.checkpoint_keep_every > 0 && progress_.step % options.checkpoint_keep_every == 0);
    if (stop || progress_.step == total)
      save_now();
    else if (agreed.save || (periodic && !saver_.must_retry()))
      save();
    // What a stop leaves out the next start makes up for.
    is_scored = !scores_ || stop || !scores_->is_due(progress_.step, total) || score();
    if (!is_scored) {
      stop = true;
      save_now();
    }
    // Who asks to stop may not wait: saved is saved first.
    if (grid_due && stop) write_pictures();
  }
  saver_.finish();
  line_.finish();
  return progress_.step < total || !is_scored ? ExitCode::stopped : ExitCode::done;
}

void Trainer::open_feed() {
  const TrainOptions& options = setting_.options.train;
  Process& process = setting_.process;
  feed_.reset();  // its threads first
  level_.reset();
  const auto copies = setting_.levels.find(stage().shrink);
  if (copies != setting_.levels.end())
    process.together([&] {
      level_.emplace(
          ImageDataset::attach(copies->second, ImageDataset::default_cache(process.world().local_size())));
    });
  const LoaderOptions loading{
      .micro_batch = stage().batch / options.accumulate,
      .rank = process.rank(),
      .world_size = process.size(),
      .seed = static_cast<std::uint64_t>(options.seed),
      .reseed = progress_.reseed,
      .position = progress_.position,
      .flip = options.flip,
      .shrink = level_ ? 1 : stage().shrink,
      .order = Loader::order_options(setting_.dataset),
      .dtype = options.dtype(),
      .raw = process.device().is_cuda() && setting_.dataset.type() == ElementType::uint8,
      .companions = needs_of(setting_.options.method->images())};
  feed_ = std::make_unique<Feed>(level_ ? *level_ : setting_.dataset, loading, process.device());
}

void Trainer::keep_way_back() {
  if (!collapse_) return;
  progress_.collapse = collapse_->memory();
  if (progress_.collapse.sound_step >= 0) saver_.fall_back_to(progress_.collapse.sound_step);
}

void Trainer::move_on() {
  const Stage* before = &stage();
  progress_.position += images_per_step();
  setting_.method.move_to(progress_.position);
  if (&stage() != before) open_feed();
}

void Trainer::open_log() {
  nlohmann::json environment = environment_of(setting_.process);
  environment["precision"] = setting_.options.train.precision;
  setting_.process.together([&] {
    if (!setting_.folder) return;
    log_.emplace(*setting_.folder, progress_.step);
    log_->start(setting_.options.schema.to_recipe(), environment);
  });
}

void Trainer::open_chain() {
  if (chain_period_ == 0) return;
  setting_.process.together([&] {
    if (setting_.folder) chain_.emplace(*setting_.folder);
  });
  if (progress_.step > 0) return;
  const NamedTensors tensors = chained_tensors();
  const at::Tensor sums = digests_.numbers(tensors).cpu();
  control_->all_reduce(sums)->wait();
  if (chain_)
    add_link(0, {}, {sums.const_data_ptr<double>(), static_cast<std::size_t>(sums.numel())}, names_of(tensors));
}

NamedTensors Trainer::chained_tensors() const {
  NamedTensors tensors;
  for (const Player* player : setting_.method.players())
    for (const auto& [kind, views] : {std::pair("weight", player->weights(/*average=*/false)),
                                      {"buffer", player->buffers(/*average=*/false)}})
      for (const auto& [name, view] : views)
        tensors.emplace_back(fmt::format("{}/{}/{}", player->name(), kind, name), view);
  return tensors;
}

void Trainer::add_link(std::int64_t step, const Figures& figures, std::span<const double> digests,
                       std::vector<std::string> tensors) {
  ChainLink link;
  link.step = step;
  link.seed = static_cast<std::uint64_t>(setting_.options.train.seed);
  link.reseed = progress_.reseed;
  for (const auto& [name, value] : figures) link.add_figure(name, value);
  StepDigests::read(digests, std::move(tensors), link);
  chain_->add(link);
}

void Trainer::report(std::int64_t total) {
  if (!log_) return;
  std::string text;
  for (const auto& [name, value] : figures_)
    if (name.find('/') == name.npos)
      text += fmt::format("{} {:.4g}  ", name, value);  // not those of each layer
  if (scores_) text += scores_->text();
  line_.advance(progress_.step, total);
  const double images_per_second = line_.rate() * static_cast<double>(images_per_step());
  line_.show(fmt::format("step {}/{}  {:.1f} images/s  {} left  {}", progress_.step, total, images_per_second,
                         duration_text(line_.seconds_left()), text));
  log_->report(log_entry(images_per_second));
  tell_trouble();
}

void Trainer::tell_trouble() {
  const std::string trouble = log_->trouble();
  if (!trouble.empty() && !std::exchange(in_trouble_, true))
    print_error(fmt::format("warning: {}; what the log says meanwhile waits in memory", trouble));
  if (trouble.empty()) in_trouble_ = false;
}

nlohmann::json Trainer::log_entry(double images_per_second) {
  nlohmann::json entry{{"step", progress_.step},
                       {"images", progress_.position},
                       {"seconds", line_.seconds()},
                       {"images_per_second", images_per_second}};
  for (const auto& [name, value] : figures_) entry[name] = value;
  GradientReducer::Traffic sum;
  for (const Player* player : setting_.method.players()) {
    entry[player->name() + "_lr"] = player->learning_rate();
    entry[player->name() + "_gradient_norm"] = player->gradient_norm();
    entry[player->name() + "_skipped_updates"] = player->guard().skipped().item<double>();
    if (player->guard().scales()) entry[player->name() + "_loss_scale"] = player->guard().scale().item<double>();
    const GradientReducer::Traffic traffic = player->traffic();
    sum.collectives += traffic.collectives;
    sum.bytes += traffic.bytes;
    sum.seconds += traffic.seconds;
    sum.exposed += traffic.exposed;
  }
  entry["reduce_collectives"] = sum.collectives;
  entry["reduce_bytes"] = sum.bytes;
  entry["reduce_seconds"] = sum.seconds;
  entry["reduce_exposed_seconds"] = sum.exposed;
  entry["reduce_hidden_seconds"] = std::max(0., sum.seconds - sum.exposed);
  const SaveCost& save = saver_.cost();
  if (save.step != std::exchange(told_save_, save.step)) {
    entry["save_step"] = save.step;
    entry["save_bytes"] = save.bytes;
    entry["save_copy_seconds"] = save.copy_seconds;
    entry["save_write_seconds"] = save.write_seconds;
  }
  if (const std::int64_t peak = peak_memory(setting_.process.device())) entry["gpu_memory_bytes"] = peak;
  return entry;
}

bool Trainer::score() {
  saver_.finish();  // scoring takes long
  note("scoring");
  TrainingScores::Result result;
  try {
    result = scores_->evaluate(progress_.step);
  } catch (const AgreedError& error) {
    if (error.code() != ExitCode::stopped) throw;
    return false;
  }
  if (result.is_best) {
    saver_.keep_best(progress_.step);
    save();
  }
  setting_.process.together([&] {
    if (log_) log_->score(result.line);
  });
  if (setting_.process.is_root())
    line_.show(fmt::format("step {}: {}{}", progress_.step, scores_->text(), result.is_best ? "  best" : ""));
  return true;
}

void Trainer::save() {
  if (saver_.has(progress_.step)) return;
  if (setting_.options.train.compare_every > 0) compare_ranks();  // no checkpoint is made of several runs' weights
  note("saving");
  saver_.begin(setting_.method, progress_,
               {{"options", setting_.options.schema.to_recipe()},
                {"dataset", setting_.dataset.digest()},
                {"data", paths_of(setting_.dataset)},
                {"vocabulary",
                 setting_.options.method->images().tokens > 0 ? vocabulary_of(setting_.dataset) : nullptr}});
  saved_at_ = std::chrono::steady_clock::now();
}

void Trainer::write_pictures() {
  note("sampling");
  write_training_pictures({setting_.process, setting_.options, setting_.dataset, setting_.method, setting_.out,
                           log_ ? &*log_ : nullptr},
                          progress_.step);
}

void Trainer::compare_ranks() {
  if (std::exchange(compared_step_, progress_.step) == progress_.step) return;
  const TraceRange range("compare ranks");
  NamedTensors tensors;
  for (const Player* player : setting_.method.players())
    for (const auto& [name, tensor] : player->state())
      // What ranks share has no second copy to compare with.
      if (!tensor.is_meta() && (name.find("/weight/") != name.npos || name.find("/ema/") != name.npos))
        tensors.emplace_back(name, tensor);
  const auto difference = compare_replicas(*control_, tensors);
  if (!difference) return;
  line_.finish();
  saver_.finish();  // of a step at which they were the same
  const auto hosts = setting_.process.world().gather_texts(host_name());
  std::set<std::string> of_those;
  for (const int rank : difference->ranks) of_those.insert(hosts[static_cast<std::size_t>(rank)]);
  throw ReplicasDiffer(
      ExitCode::diverged,
      fmt::format("at step {} {}{}: a processor or its memory fails{}; {}", progress_.step,
                  difference->text(setting_.process.size()),
                  of_those.empty() ? "" : fmt::format(" (on {})", fmt::join(of_those, ", ")),
                  of_those.empty() ? ": try the machines one by one" : ": go on without that machine",
                  saved_step() < 0
                      ? "there is no checkpoint yet"
                      : fmt::format("in the last checkpoint, of step {}, all ranks were the same", saved_step())),
      setting_.process.is_root());
}

void Trainer::save_now() {
  saver_.finish();
  save();
  for (saver_.finish(); saver_.must_retry(); saver_.finish()) {
    saver_.wait_for_retry();
    save();
  }
}

}  // namespace ganymede
