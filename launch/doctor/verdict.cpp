#include "launch/doctor/verdict.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace ganymede {
namespace {

constexpr std::size_t most_named = 8;

const char* state_text(Verdict::State state) {
  switch (state) {
    case Verdict::State::skipped:
      return "skipped";
    case Verdict::State::warning:
      return "warning";
    case Verdict::State::failed:
      return "FAILED";
    default:
      return "ok";
  }
}

/// "rank 3", "ranks 0, 1"; of many the first.
std::string ranks_text(const std::vector<int>& ranks) {
  if (ranks.size() == 1) return fmt::format("rank {}", ranks.front());
  const std::vector<int> named(ranks.begin(),
                               ranks.begin() + std::min(std::ssize(ranks), std::ptrdiff_t{most_named}));
  if (named.size() == ranks.size()) return fmt::format("ranks {}", fmt::join(named, ", "));
  return fmt::format("{} ranks ({}, ...)", ranks.size(), fmt::join(named, ", "));
}

}  // namespace

Verdict all_well(std::string text) {
  return {Verdict::State::ok, std::move(text)};
}

Verdict skipped(std::string text) {
  return {Verdict::State::skipped, std::move(text)};
}

Verdict warning(std::string text) {
  return {Verdict::State::warning, std::move(text)};
}

Verdict failure(ExitCode code, std::string text) {
  return {Verdict::State::failed, std::move(text), code};
}

Verdict failure(const Error& error) {
  return failure(error.code(), error.what());
}

std::string verdict_line(std::string_view check, const Verdict& verdict) {
  return fmt::format("{:<8} {:<14} {}\n", state_text(verdict.state), check, verdict.text);
}

void Tally::add(const Verdict& verdict) {
  ++checks_;
  if (verdict.state != Verdict::State::failed) return;
  ++failed_;
  if (code_ == ExitCode::done) code_ = verdict.code;
}

std::string Tally::complaint() const {
  return failed_ == 0
             ? ""
             : fmt::format("{} of {} checks failed: the table says which, and what helps", failed_, checks_);
}

std::string places_text(std::span<const int> ranks, std::span<const std::string> hosts) {
  if (ranks.size() == hosts.size() && ranks.size() > 1) return "every rank";
  std::vector<std::pair<std::string, std::vector<int>>> by_host;
  for (const int rank : ranks) {
    const std::string& host = hosts[static_cast<std::size_t>(rank)];
    const auto found = std::ranges::find(by_host, host, [](const auto& entry) { return entry.first; });
    (found == by_host.end() ? by_host.emplace_back(host, std::vector<int>()) : *found).second.push_back(rank);
  }
  std::vector<std::string> parts;
  for (const auto& [host, of_host] : by_host) {
    if (parts.size() == most_named) break;
    parts.push_back(fmt::format("{} on {}", ranks_text(of_host), host));
  }
  std::string text = fmt::format("{}", fmt::join(parts, " and "));
  if (by_host.size() > parts.size())
    text += fmt::format(" and on {} more hosts", by_host.size() - parts.size());
  return text;
}

std::string notes_text(std::span<const std::string> notes, std::span<const std::string> hosts) {
  std::vector<std::pair<std::string, std::vector<int>>> by_note;
  for (std::size_t rank = 0; rank < notes.size(); ++rank) {
    if (notes[rank].empty()) continue;
    const auto found = std::ranges::find(by_note, notes[rank], [](const auto& entry) { return entry.first; });
    (found == by_note.end() ? by_note.emplace_back(notes[rank], std::vector<int>()) : *found)
        .second.push_back(static_cast<int>(rank));
  }
  std::vector<std::string> parts;
  for (const auto& [note, ranks] : by_note) {
    if (parts.size() == most_named) break;
    parts.push_back(hosts.size() == 1 ? note : fmt::format("{}: {}", places_text(ranks, hosts), note));
  }
  std::string text = fmt::format("{}", fmt::join(parts, "; "));
  if (by_note.size() > parts.size()) text += fmt::format("; and {} more", by_note.size() - parts.size());
  return text;
}

double lower_median(std::vector<double> values) {
  const auto middle = values.begin() + (std::ssize(values) - 1) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::vector<int> far_above_median(const std::vector<double>& values, double factor) {
  const double bound = factor * lower_median(values);
  std::vector<int> above;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] > bound) above.push_back(static_cast<int>(i));
  return above;
}

}  // namespace ganymede
