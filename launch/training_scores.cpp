#include "launch/training_scores.h"

#include "core/files.h"
#include "core/run_folder.h"
#include "evaluation/dataset_images.h"
#include "evaluation/statistics_file.h"

namespace ganymede {

TrainingScores::TrainingScores(const Setting& setting)
    : setting_(setting), ranks_(setting.process.world().duplicate("scores")) {
  const TrainOptions& options = setting.options.train;
  Process& process = setting.process;
  EvaluatorOptions scoring{.seed = static_cast<std::uint64_t>(options.seed),
                           .blocks = 1,
                           .cache = setting.out / "statistics",
                           .note = [&process](std::string_view activity) { process.note(activity); },
                           .warn = [](const std::string& text) { print_error("warning: " + text); }};
  scoring.metric.seed = scoring.seed;
  process.together([&] {
    metrics_ = scoring.metrics = read_metrics(options.evaluate_metrics);
    ExtractorOptions network;
    network.file = options.evaluate_features;
    network.device = process.device();
    extractor_ = make_feature_extractor(network);
  });
  scoring.reference_count = options.evaluate_reference_count;
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
  drawing_ = {options.evaluate_count, scoring.batch, sampling_.seed, {}, spec.classes};
  const auto sampler = setting_.method.sampler(sampling_);
  const auto images = drawn_images(*sampler, drawing_, spec, "", {});
  process.together([&] { evaluator_->check(*images, options.evaluate_count); });
}

void TrainingScores::open_reference() {
  const std::string& name = setting_.options.train.evaluate_reference;
  if (name == "data") {
    // The trainer's dataset outlives this.
    setting_.process.together([&] {
      reference_ = std::make_unique<DatasetImages>(
          std::shared_ptr<const ImageDataset>(std::shared_ptr<void>(), &setting_.dataset));
    });
    return;
  }
  if (setting_.process.from_root([&] { return holds_statistics(name) ? "yes" : "no"; }) == "no")
    reference_ = open_images(setting_.process, name);
}

std::optional<std::int64_t> TrainingScores::go_on_from(std::int64_t step) {
  const std::string text = setting_.process.from_root([&]() -> std::string {
    const auto path = setting_.out / RunFolder::metrics_name;
    return size_of_file(path) ? read_text_file(path, std::int64_t{1} << 30) : "";
  });
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.is_object() && entry.value("step", step + 1) <= step) take_over(entry);
  }
  return best_step_;
}

/// Scores of another network or count are not held against ours.
void TrainingScores::take_over(const nlohmann::json& line) {
  const nlohmann::json protocol = line.value("protocol", nlohmann::json::object());
  const nlohmann::json figures = line.value("metrics", nlohmann::json::object());
  const auto first = figures.find(metrics_.front()->first_score());
  if (first == figures.end() ||
      protocol.value("extractor", nlohmann::json()) != extractor_protocol(extractor_->description()) ||
      protocol.value("/images/count"_json_pointer, std::int64_t{0}) != drawing_.count)
    return;
  last_step_ = line.at("step").get<std::int64_t>();
  take(last_step_, first->value("value", 0.));
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
  const auto sampler = setting_.method.sampler(sampling_);
  const auto players = setting_.method.players();
  nlohmann::json details =
      drawing_details(sampling_, drawing_, std::ranges::any_of(players, &Player::has_average));
  details["step"] = step;
  const auto images = drawn_images(*sampler, drawing_, setting_.options.method->images(),
                                   setting_.out.lexically_normal().filename().string(), std::move(details));
  Evaluation evaluation;
  score_together([&] { evaluation = evaluator_->evaluate(*images, drawing_.count); },
                 setting_.process.is_root());
  last_step_ = step;
  text_ = score_line(evaluation);
  Result result{evaluation.to_json(), take(step, evaluation.scores.front().value)};
  result.line["step"] = step;
  return result;
}

}  // namespace ganymede
