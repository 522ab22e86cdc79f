#include "core/run_log.h"

#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr std::size_t most_layers = 8;
constexpr std::int64_t largest_picture = std::int64_t{1} << 30;

using Scalars = std::vector<std::pair<std::string, double>>;

NamedTensors layers_of(const NamedTensors& weights) {
  NamedTensors layers;
  std::copy_if(weights.begin(), weights.end(), std::back_inserter(layers),
               [](const auto& named) { return named.second.dim() > 1; });
  if (layers.size() <= most_layers) return layers;
  NamedTensors chosen;
  for (std::size_t i = 0; i < most_layers; ++i)
    chosen.push_back(layers[i * (layers.size() - 1) / (most_layers - 1)]);
  return chosen;
}

/// Markdown shows an indented block as it is, whatever it says.
std::string as_code(const std::string& text) {
  std::string block = "    ";
  for (const char letter : text) {
    block += letter;
    if (letter == '\n') block += "    ";
  }
  return block;
}

}  // namespace

// What is kept of a restart's own step is what was said when it was saved.
RunLog::RunLog(RunFolder& folder, std::int64_t step)
    : folder_(folder), step_(step), events_(folder.path(), step == 0 ? 0 : step + 1) {}

void RunLog::start(const std::string& options, const nlohmann::json& environment) {
  nlohmann::json line{{"step", step_}};
  line.update(environment);
  folder_.append_start(line);
  events_.write_text(step_, "options", as_code(options));
  events_.write_text(step_, "environment", as_code(json_text(environment, 2)));
}

void RunLog::report(const nlohmann::json& report) {
  folder_.append_log(report);
  Scalars scalars;
  for (const auto& [name, value] : report.items())
    if (name != "step" && value.is_number()) scalars.emplace_back("train/" + name, value.get<double>());
  events_.write_scalars(report.at("step").get<std::int64_t>(), scalars);
}

void RunLog::score(const nlohmann::json& score) {
  folder_.append_score(score);
  Scalars scalars;
  for (const auto& [name, metric] : score.at("metrics").items())
    for (const auto& [part, suffix] : {std::pair{"value", ""}, {"error", "_error"}})
      if (const auto found = metric.find(part); found != metric.end() && found->is_number())
        scalars.emplace_back("scores/" + name + suffix, found->get<double>());
  events_.write_scalars(score.at("step").get<std::int64_t>(), scalars);
}

std::string RunLog::trouble() const {
  const std::string own = folder_.trouble();
  return own.empty() ? events_.trouble() : own;
}

void RunLog::samples(std::int64_t step, const std::filesystem::path& png, const std::string& tag) {
  events_.write_image(step, tag, read_text_file(png, largest_picture));
}

void RunLog::weights(std::int64_t step, const std::string& player, const NamedTensors& weights) {
  for (const auto& [name, tensor] : layers_of(weights))
    if (const auto histogram = histogram_of(tensor))
      events_.write_histogram(step, player + "/" + name, *histogram);
}

}  // namespace ganymede
