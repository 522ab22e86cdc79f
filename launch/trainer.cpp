#include "launch/trainer.h"

#include <cmath>

#include "core/image_grid.h"
#include "core/signals.h"
#include "launch/draw.h"
#include "launch/text.h"

namespace ganymede {

/// What all ranks know after a step.
struct Trainer::Agreed {
  StepReport totals;
  bool stop = false, save = false, finite = true;
};

Trainer::Trainer(const Setting& setting)
    : setting_(setting),
      snapshots_(setting.process, setting.out / "checkpoints", setting.options.train.checkpoint_keep),
      control_(setting.process.world().duplicate("control")) {}

void Trainer::note(std::string_view activity) {
  setting_.process.note(activity);
}

Trainer::Agreed Trainer::agree(const StepReport& report) {
  const TrainOptions& options = setting_.options.train;
  const double minutes =
      std::chrono::duration<double, std::ratio<60>>(std::chrono::steady_clock::now() - saved_at_).count();
  // The clock of rank 0 alone decides, and every rank's signal counts.
  const bool overdue =
      setting_.process.is_root() && options.checkpoint_minutes > 0 && minutes >= options.checkpoint_minutes;
  // A gradient that is not finite has spoilt the weights, though no figure shows it before the next step.
  const bool broken = std::ranges::any_of(setting_.method.players(), [](const Player* player) {
    return !std::isfinite(player->gradient_norm());
  });
  at::Tensor figures = at::empty({static_cast<std::int64_t>(report.size()) + 3}, at::kDouble);
  double* values = figures.data_ptr<double>();
  for (std::size_t i = 0; i < report.size(); ++i) values[i] = report[i].second;
  values[report.size()] = stop_requested() ? 1 : 0;
  values[report.size() + 1] = overdue ? 1 : 0;
  values[report.size() + 2] = broken ? 1 : 0;
  control_->all_reduce(figures)->wait();
  Agreed agreed;
  agreed.finite = values[report.size() + 2] == 0;
  for (std::size_t i = 0; i < report.size(); ++i) {
    agreed.totals.emplace_back(report[i].first, values[i]);
    agreed.finite = agreed.finite && std::isfinite(values[i]);
  }
  agreed.stop = values[report.size()] > 0;
  agreed.save = values[report.size() + 1] > 0 ||
                (options.checkpoint_every > 0 && progress_.step % options.checkpoint_every == 0);
  return agreed;
}

ExitCode Trainer::run(const RunProgress& start) {
  progress_ = start;
  saved_step_ = start.step > 0 ? start.step : -1;
  saved_at_ = std::chrono::steady_clock::now();
  const TrainOptions& options = setting_.options.train;
  Process& process = setting_.process;
  Method& method = setting_.method;
  const std::int64_t total = setting_.options.total_steps(method.batches_per_step());
  Loader loader(setting_.dataset, {.micro_batch = options.batch / options.accumulate,
                                   .rank = process.rank(),
                                   .world_size = process.size(),
                                   .seed = static_cast<std::uint64_t>(options.seed),
                                   .reseed = progress_.reseed,
                                   .position = progress_.position,
                                   .flip = options.flip,
                                   .dtype = options.dtype()});
  line_.start(progress_.step);
  if (progress_.step == 0 && options.sample_every > 0) write_samples();
  bool stop = false;
  while (progress_.step < total && !stop) {
    if (Watchdog* watchdog = process.watchdog()) watchdog->set_step(progress_.step + 1);
    note("training");
    const StepReport own = method.step(progress_.step + 1, [&] {
      note("loading a batch");
      return loader.next();
    });
    ++progress_.step;
    progress_.position += options.batch * method.batches_per_step();
    const Agreed agreed = agree(own);
    if (!agreed.finite) {
      line_.finish();
      throw AgreedError(
          ExitCode::diverged,
          fmt::format(
              "training diverged: a loss or gradient of step {} is not finite; the last checkpoint is of "
              "step {}. Lower the learning rates, or add a gradient penalty or clipping",
              progress_.step, std::max<std::int64_t>(saved_step_, 0)),
          process.is_root());
    }
    stop = agreed.stop;
    if (progress_.step % options.log_every == 0 || progress_.step == total || stop)
      report(agreed.totals, total);
    const bool grid_due =
        options.sample_every > 0 && (progress_.step % options.sample_every == 0 || progress_.step == total);
    if (grid_due && !stop) write_samples();
    if (agreed.save || stop || progress_.step == total) save();
    // Who asks to stop may not wait: saved is saved first.
    if (grid_due && stop) write_samples();
  }
  line_.finish();
  return progress_.step < total ? ExitCode::stopped : ExitCode::done;
}

void Trainer::report(const StepReport& totals, std::int64_t total) {
  if (!setting_.folder) return;
  std::string figures;
  for (const auto& [name, value] : totals) figures += fmt::format("{} {:.4g}  ", name, value);
  line_.advance(progress_.step, total);
  const double images_per_second =
      line_.rate() *
      static_cast<double>(setting_.options.train.batch * setting_.method.batches_per_step());
  line_.show(fmt::format("step {}/{}  {:.1f} images/s  {} left  {}", progress_.step, total, images_per_second,
                         duration_text(line_.seconds_left()), figures));
  nlohmann::json entry{{"step", progress_.step},
                       {"images", progress_.position},
                       {"seconds", line_.seconds()},
                       {"images_per_second", images_per_second}};
  for (const auto& [name, value] : totals) entry[name] = value;
  for (const Player* player : setting_.method.players()) {
    entry[player->name() + "_lr"] = player->learning_rate();
    entry[player->name() + "_gradient_norm"] = player->gradient_norm();
  }
  setting_.folder->append_log(entry);
}

void Trainer::save() {
  if (saved_step_ == progress_.step) return;
  note("saving");
  snapshots_.save(setting_.method, progress_,
                  {{"options", setting_.options.schema.to_recipe()}, {"dataset", setting_.dataset.digest()}});
  saved_step_ = progress_.step;
  saved_at_ = std::chrono::steady_clock::now();
}

void Trainer::write_samples() {
  note("sampling");
  const SampleOptions options{.seed = static_cast<std::uint64_t>(setting_.options.train.seed)};
  const std::int64_t classes = setting_.options.method->images().classes;
  const std::int64_t count = setting_.options.train.sample_count;
  const auto sampler = setting_.method.sampler(options);
  const Drawing drawing{count, 64, options.seed, every_class(classes)};
  std::vector<at::Tensor> images;
  draw(setting_.process, *sampler, drawing,
       [&](std::int64_t, const at::Tensor& part, const at::Tensor&) { images.push_back(part); });
  setting_.process.together([&] {
    if (setting_.folder)
      write_grid(setting_.folder->samples() / fmt::format("step-{:09}.png", progress_.step), at::cat(images),
                 grid_columns(drawing));
  });
}

}  // namespace ganymede
