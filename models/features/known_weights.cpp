#include "models/features/known_weights.h"

#include <set>

#include "core/error.h"
#include "core/strict_json.h"
#include "models/features/dinov2.h"
#include "models/features/inception_extractor.h"

namespace ganymede {
namespace {

// One line a network and layout.
const KnownWeights table[] = {
    dinov2(),
    inception_torchvision(),
    inception_nvidia(),
};

struct Match {
  WeightsReport report;
  const KnownWeights* known = nullptr;
};

Match best_match(const WeightsSource& source) {
  Match best;
  const auto share = [](const WeightsReport& report) {
    return static_cast<double>(report.found) /
           static_cast<double>(std::max<std::int64_t>(1, report.expected));
  };
  for (const KnownWeights& known : table) {
    WeightsReport report = known.examine(source);
    if (!report.network.empty() && share(report) >= 0.5 && share(report) > share(best.report))
      best = {std::move(report), &known};
  }
  return best;
}

/// Checkpoints often put all weights under one name, as "state_dict." or "module.".
WeightsSource without_common_prefix(const WeightsSource& source) {
  if (source.types.empty()) return source;
  const std::string &first = source.types.begin()->first, &last = source.types.rbegin()->first;
  const auto common =
      static_cast<std::size_t>(std::ranges::mismatch(first, last).in1 - first.begin());  // they are sorted
  const std::size_t dot = first.substr(0, common).rfind('.');
  if (dot == std::string::npos) return source;
  const std::string prefix = first.substr(0, dot + 1);
  WeightsSource shorter{source.where, {}, [read = source.read, prefix](const std::string& name) {
                          return read(prefix + name);
                        }};
  for (const auto& [name, type] : source.types) shorter.types.emplace(name.substr(prefix.size()), type);
  return shorter;
}

std::pair<Match, WeightsSource> recognise(const WeightsSource& source) {
  if (Match match = best_match(source); match.known) return {match, source};
  WeightsSource shorter = without_common_prefix(source);
  Match match = best_match(shorter);
  return {match, std::move(shorter)};
}

}  // namespace

WeightsReport recognise_weights(const WeightsSource& source) {
  return recognise(source).first.report;
}

std::unique_ptr<FeatureExtractor> make_known_extractor(const WeightsSource& source,
                                                       const ExtractorOptions& options) {
  const auto [match, view] = recognise(source);
  const WeightsReport& report = match.report;
  if (!match.known)
    fail(ExitCode::checkpoint,
         "{}: its {} tensors{} are not those of a network that features are known of: Inception-v3 (names of "
         "pytorch-fid, torchvision or NVIDIA) or DINOv2",
         source.where, source.types.size(),
         source.types.empty() ? "" : fmt::format(" ({}, ...)", quote(source.types.begin()->first)));
  if (!report.problems.empty())
    fail(ExitCode::checkpoint, "{}: weights of {} ({}), but {}{}", source.where, report.network,
         report.layout, report.problems.front(),
         report.problems.size() == 1 ? "" : fmt::format(", and {} more", report.problems.size() - 1));
  return match.known->make(view, options);
}

void compare(WeightsReport& report, const WeightsSource& source,
             const std::vector<ExpectedTensor>& expected) {
  report.expected = static_cast<std::int64_t>(expected.size());
  report.problems = problems_of(source, expected);
  std::set<std::string> names;
  for (const ExpectedTensor& tensor : expected) {
    names.insert(tensor.name);
    report.found += source.types.contains(tensor.name) ? 1 : 0;
  }
  for (const auto& [name, type] : source.types)
    if (!names.contains(name)) report.unused.push_back(name);
}

}  // namespace ganymede
