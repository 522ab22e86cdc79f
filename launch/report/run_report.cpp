#include "launch/report/run_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/run_folder.h"
#include "launch/environment.h"
#include "launch/report/log_table.h"
#include "launch/report/page.h"

namespace ganymede {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t largest_config = 16 << 20;
constexpr std::int64_t block = 1 << 20;

/// Calls `take` with each object of a .jsonl file, if there is one, and returns how many lines are none.
std::int64_t each_line(const fs::path& path, const std::function<void(const nlohmann::json&)>& take) {
  if (!size_of_file(path)) return 0;
  const File file = File::open_for_reading(path);
  const std::int64_t size = file.size();
  std::int64_t passed_over = 0;
  std::string text;
  for (std::int64_t at = 0; at < size;) {
    const std::size_t kept = text.size();
    const std::int64_t count = std::min(block, size - at);
    text.resize(kept + static_cast<std::size_t>(count));
    file.read_at(at, std::as_writable_bytes(std::span(text).subspan(kept)));
    at += count;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', std::max(begin, kept))) != text.npos; begin = end + 1) {
      const auto line =
          nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      if (line.is_object())
        take(line);
      else
        ++passed_over;
    }
    text.erase(0, begin);
  }
  return passed_over;
}

/// [["train", [["batch", "64"], ...]], ...], in the order of the file.
nlohmann::json options_of(const std::string& config) {
  nlohmann::json sections = nlohmann::json::array();
  std::istringstream lines(config);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      sections.push_back({line.substr(1, line.size() - 2), nlohmann::json::array()});
    } else if (const auto sign = line.find(" ="); sign != line.npos && !sections.empty()) {
      const auto value = line.find_first_not_of(' ', sign + 2);
      sections.back()[1].push_back({line.substr(0, sign), value == line.npos ? "" : line.substr(value)});
    }
  }
  return sections;
}

double option(const nlohmann::json& sections, const std::string& section, const std::string& key) {
  for (const auto& part : sections)
    for (const auto& entry : part[1])
      if (part[0] == section && entry[0] == key) return std::atof(entry[1].get<std::string>().c_str());
  return 0;
}

double number(const nlohmann::json& report, const char* name) {
  const auto found = report.find(name);
  return found != report.end() && found->is_number() ? found->get<double>() : 0;
}

/// 0 where it is not known. A run of so many images ends with the step that reaches them.
std::int64_t total_steps(const nlohmann::json& options, const nlohmann::json& last_report) {
  const double kimg = option(options, "train", "kimg");
  if (kimg <= 0) return static_cast<std::int64_t>(option(options, "train", "steps"));
  const double step = number(last_report, "step"), images = number(last_report, "images");
  return images > 0 ? static_cast<std::int64_t>(std::ceil(kimg * 1000 * step / images)) : 0;
}

/// Scores as {name: {"steps": [..], "values": [..], "errors": [..], "features": ".."}}, thinned to `most` of each.
class Scores {
 public:
  void add(const nlohmann::json& line) {
    const auto step = line.find("step"), metrics = line.find("metrics"), protocol = line.find("protocol");
    if (step == line.end() || !step->is_number() || metrics == line.end() || !metrics->is_object()) return;
    for (const auto& [name, metric] : metrics->items()) {
      if (!metric.is_object() || !metric.contains("value") || !metric["value"].is_number()) continue;
      if (const auto features = metric.find("features"); features != metric.end())
        features_[name] = *features;
      nlohmann::json& curve = curves_[name];
      const auto error = metric.find("error");
      curve["steps"].push_back(step->get<std::int64_t>());
      curve["values"].push_back(metric["value"]);
      curve["errors"].push_back(error != metric.end() && error->is_number() ? *error : nlohmann::json());
    }
    if (protocol != line.end()) protocol_ = *protocol;
  }

  nlohmann::json curves(std::size_t most) const {
    nlohmann::json thinned = nlohmann::json::object();
    for (const auto& [name, curve] : curves_.items()) {
      for (const auto& [part, values] : curve.items())
        for (const std::size_t i : evenly(values.size(), most)) thinned[name][part].push_back(values[i]);
      if (features_.contains(name)) thinned[name]["features"] = features_[name];
    }
    return thinned;
  }
  const nlohmann::json& protocol() const { return protocol_; }

  /// At most `most` of 0 .. count - 1 at even distance, first and last among them.
  static std::vector<std::size_t> evenly(std::size_t count, std::size_t most) {
    std::vector<std::size_t> chosen;
    const std::size_t wanted = std::min(count, most);
    for (std::size_t i = 0; i < wanted; ++i)
      chosen.push_back(wanted == 1 ? count - 1 : i * (count - 1) / (wanted - 1));
    return chosen;
  }

 private:
  nlohmann::json curves_ = nlohmann::json::object();
  nlohmann::json features_ = nlohmann::json::object();  ///< by name, of the newest line
  nlohmann::json protocol_ = nlohmann::json::object();
};

/// The step that a grid's name tells; -1 for any other file.
std::int64_t grid_step(const fs::path& path) {
  const std::string name = path.stem().string();
  const bool fits = path.extension() == ".png" && name.starts_with("step-") && name.size() > 5 &&
                    name.size() < 20 && name.find_first_not_of("0123456789", 5) == name.npos;
  return fits ? std::stoll(name.substr(5)) : -1;
}

nlohmann::json grids_of(const fs::path& folder, const ReportLimits& limits) {
  std::map<std::int64_t, fs::path> found;
  std::int64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const std::int64_t step = grid_step(entry->path()); step >= 0) {
      found[step] = entry->path();
      bytes += size_of_file(entry->path()).value_or(0);
    }
  const std::vector<std::pair<std::int64_t, fs::path>> all(found.begin(), found.end());
  const auto affordable =
      bytes == 0 ? limits.grids
                 : static_cast<std::size_t>(static_cast<double>(limits.grid_bytes) /
                                            static_cast<double>(bytes) * static_cast<double>(all.size()));
  nlohmann::json grids = nlohmann::json::array();
  for (const std::size_t i : Scores::evenly(all.size(), std::clamp<std::size_t>(affordable, 1, limits.grids)))
    grids.push_back({{"step", all[i].first},
                     {"png", base64(read_text_file(all[i].second, std::numeric_limits<int>::max()))}});
  return {{"count", all.size()}, {"grids", grids}};
}

fs::path checked(const fs::path& run) {
  std::error_code error;
  const fs::path folder = fs::canonical(run, error);
  if (error || !fs::is_directory(folder, error))
    fail(ExitCode::storage, "{} is not a folder that can be read: name a run folder", run.string());
  if (!size_of_file(folder / RunFolder::config_name) && !size_of_file(folder / RunFolder::log_name))
    fail(ExitCode::storage, "{} holds neither {} nor {}: name the folder of a run", run.string(),
         RunFolder::config_name, RunFolder::log_name);
  return folder;
}

}  // namespace

nlohmann::json run_report(const fs::path& run, const ReportLimits& limits) {
  const fs::path folder = checked(run);
  nlohmann::json options = nlohmann::json::array();
  if (size_of_file(folder / RunFolder::config_name))
    options = options_of(read_text_file(folder / RunFolder::config_name, largest_config));
  LogTable log(limits.points);
  nlohmann::json last = nlohmann::json::object();
  std::int64_t passed_over = each_line(folder / RunFolder::log_name, [&](const nlohmann::json& line) {
    log.add(line);
    last = line;
  });
  Scores scores;
  passed_over += each_line(folder / RunFolder::metrics_name, [&](const auto& line) { scores.add(line); });
  nlohmann::json starts = nlohmann::json::array();
  passed_over +=
      each_line(folder / RunFolder::starts_name, [&](const auto& line) { starts.push_back(line); });
  return {{"name", folder.filename().string()},
          {"path", folder.string()},
          {"time", utc_now()},
          {"step", static_cast<std::int64_t>(number(last, "step"))},
          {"total_steps", total_steps(options, last)},
          {"options", options},
          {"starts", starts},
          {"log", log.to_json()},
          {"scores", scores.curves(limits.points)},
          {"protocol", scores.protocol()},
          {"samples", grids_of(folder / "samples", limits)},
          {"passed_over", passed_over}};
}

}  // namespace ganymede
