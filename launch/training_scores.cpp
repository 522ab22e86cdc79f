#include "launch/training_scores.h"

#include "core/error.h"
#include "core/files.h"
#include "core/run_folder.h"
#include "core/signals.h"
#include "evaluation/dataset_images.h"
#include "evaluation/statistics_file.h"
#include "launch/conditions.h"

namespace ganymede {
namespace {

/// The lines of OUT/metrics.jsonl of steps up to this one. Collective.
std::vector<nlohmann::json> scores_until(Process& process, const std::filesystem::path& out,
                                         std::int64_t step) {
  const std::string text = process.from_root([&]() -> std::string {
    const auto path = out / RunFolder::metrics_name;
    return size_of_file(path) ? read_text_file(path, std::int64_t{1} << 30) : "";
  });
  std::vector<nlohmann::json> scores;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto at = entry.is_object() ? entry.find("step") : entry.end();
    if (at != entry.end() && at->is_number_integer() && *at <= step) scores.push_back(std::move(entry));
  }
  return scores;
}

std::optional<std::int64_t> best_told(const std::vector<nlohmann::json>& scores) {
  if (scores.empty()) return std::nullopt;
  const auto best = scores.back().find("best");
  if (best == scores.back().end() || !best->is_number_integer()) return std::nullopt;
  return best->get<std::int64_t>();
}

}  // namespace

TrainingScores::TrainingScores(const Setting& setting)
    : setting_(setting), ranks_(setting.process.world().duplicate("scores")) {
  const TrainOptions& options = setting.options.train;
  Process& process = setting.process;
  EvaluatorOptions scoring{.seed = static_cast<std::uint64_t>(options.seed),
                           .blocks = 1,
                           .cache = setting.out / "statistics",
                           .note = [&process](std::string_view activity) { process.note(activity); },
                           .stop = stop_requested,
                           .warn = [](const std::string& text) { print_error("warning: " + text); }};
  scoring.metric.seed = scoring.seed;
  process.together([&] {
    metrics_ = scoring.metrics = read_metrics(options.evaluate_metrics);
    for (const Metric* metric : metrics_)
      if (metric->needs.blocks > scoring.blocks)
        fail(ExitCode::options,
             "evaluate.metrics: {} needs images in several blocks, and training keeps one: leave it out, and "
             "score "
             "the run by `ganymede evaluate`",
             metric->name);
    ExtractorOptions network;
    network.file = options.evaluate_features;
    network.device = process.device();
    extractor_ = make_feature_extractor(network);
  });
  const bool own = setting.options.method->images().sources == SourceImages::own;
  count_ = own ? std::min(options.evaluate_count, setting.dataset.size()) : options.evaluate_count;
  // Reconstructions stand beside their originals.
  scoring.reference_count = own ? count_ : options.evaluate_reference_count;
  open_reference();
  if (reference_ && scoring.reference_count >= reference_->size()) scoring.reference_count = 0;
  evaluator_.emplace(*ranks_, *extractor_, scoring);
  ReferenceStatistics statistics;
  if (reference_) {
    evaluator_->set_reference(*reference_);
  } else {
    process.together([&] {
      if (process.is_root()) statistics = read_statistics(options.evaluate_reference);
    });
    broadcast_statistics(*ranks_, statistics);
    process.together([&] { evaluator_->set_reference(std::move(statistics)); });
  }
  sampling_.seed = scoring.seed;
  const ImageSpec spec = setting.options.method->images();
  process.together([&] {
    setting.options.method->check_sampling(sampling_);
    set_conditions(sampling_, spec, setting.dataset);
  });
  drawing_ = {own ? setting.dataset.size() : count_, scoring.batch, sampling_.seed, {}, spec.classes};
  const Drawn first = drawn(0);
  process.together([&] { evaluator_->check(*first.images, count_); });
  score_together([&] { protocol_ = evaluator_->protocol(*first.images, count_); }, process.is_root());
}

TrainingScores::Drawn TrainingScores::drawn(std::int64_t step) const {
  Drawn result{setting_.method.sampler(sampling_), nullptr};
  nlohmann::json details =
      drawing_details(sampling_, drawing_, setting_.options,
                      std::ranges::any_of(setting_.method.players(), &Player::has_average));
  details["step"] = step;
  if (sampling_.sources || sampling_.embeddings || sampling_.tokens)
    details["conditions"] = setting_.dataset.digest();
  setting_.process.together([&] {
    result.images = drawn_images(*result.sampler, drawing_, setting_.options.method->samples(),
                                 setting_.out.lexically_normal().filename().string(), std::move(details));
  });
  return result;
}

void TrainingScores::open_reference() {
  const std::string& name = setting_.options.train.evaluate_reference;
  if (name == "data") {
    // The trainer's dataset outlives this.
    setting_.process.together([&] {
      if (setting_.options.method->images().draws_sources)
        fail(ExitCode::options,
             "evaluate.reference = data holds images, and samples are such as its sources: name a dataset of "
             "those");
      if (setting_.options.learns_latents())
        fail(ExitCode::options,
             "evaluate.reference = data holds latents, and samples are images: name a dataset of these");
      reference_ = std::make_unique<DatasetImages>(
          std::shared_ptr<const ImageDataset>(std::shared_ptr<void>(), &setting_.dataset));
    });
    return;
  }
  if (setting_.process.from_root([&] { return holds_statistics(name) ? "yes" : "no"; }) == "no")
    reference_ = open_images(setting_.process, name);
}

std::optional<std::int64_t> TrainingScores::go_on_from(std::int64_t step) {
  const std::vector<nlohmann::json> scores = scores_until(setting_.process, setting_.out, step);
  for (const nlohmann::json& line : scores) take_over(line);
  return best_step_ ? best_step_ : best_told(scores);
}

/// Scores of another protocol are not held against ours.
void TrainingScores::take_over(const nlohmann::json& line) {
  const nlohmann::json::json_pointer place =
      nlohmann::json::json_pointer("/metrics") / metrics_.front()->first_score() / "value";
  if (!line.contains(place) || !line[place].is_number() || !line.contains("protocol") ||
      !protocol_differences(line["protocol"], protocol_).empty())
    return;
  last_step_ = line["step"].get<std::int64_t>();
  take(last_step_, line[place].get<double>());
}

bool TrainingScores::take(std::int64_t step, double value) {
  const bool is_better = metrics_.front()->lower_is_better ? value < best_ : value > best_;
  if (best_step_ && !is_better) return false;
  best_step_ = step;
  best_ = value;
  return true;
}

bool TrainingScores::is_due(std::int64_t step, std::int64_t total) const {
  if (step == 0 || step == last_step_) return false;
  return step == total || step % setting_.options.train.evaluate_every == 0;
}

TrainingScores::Result TrainingScores::evaluate(std::int64_t step) {
  const Drawn now = drawn(step);
  Evaluation evaluation;
  score_together([&] { evaluation = evaluator_->evaluate(*now.images, count_); }, setting_.process.is_root());
  last_step_ = step;
  text_ = score_line(evaluation);
  Result result{evaluation.to_json(), take(step, evaluation.scores.front().value)};
  result.line["step"] = step;
  result.line["best"] = *best_step_;
  return result;
}

std::optional<std::int64_t> last_best_step(Process& process, const std::filesystem::path& out,
                                           std::int64_t step) {
  return best_told(scores_until(process, out, step));
}

}  // namespace ganymede
