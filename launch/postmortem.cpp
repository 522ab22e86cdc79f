#include "launch/postmortem.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>
#include <tuple>

#include "core/error.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using Kind = BoxEvent::Kind;

constexpr int hang_code = static_cast<int>(ExitCode::hang);

/// What the events of a rank come to.
struct RankState {
  const BoxContent* rank;
  BoxEvent last;      ///< of what its main thread did
  BoxEvent wait;      ///< the last enter or leave
  BoxEvent activity;  ///< the last note
  BoxEvent signal;    ///< that ended it; number 0: none

  bool is_waiting() const { return wait.kind == Kind::enter; }
  bool has_end() const { return rank->ending || signal.number > 0; }
  int code() const { return rank->ending ? rank->ending->code : -1; }
  auto position() const { return std::tuple(last.round, last.in_round, !is_waiting()); }
};

std::int64_t first_start(std::span<const BoxContent> ranks) {
  return std::ranges::min_element(ranks, {}, &BoxContent::wall_start)->wall_start;
}

/// Seconds since the first rank's start.
double seconds(double since_own_start, const BoxContent& rank, std::span<const BoxContent> ranks) {
  return 1e-9 * static_cast<double>(rank.wall_start - first_start(ranks)) + since_own_start;
}

double seconds(const BoxEvent& event, const BoxContent& rank, std::span<const BoxContent> ranks) {
  return seconds(1e-9 * static_cast<double>(event.time), rank, ranks);
}

bool ended_by_hang(const BoxContent& rank) {
  return rank.ending && rank.ending->code == hang_code;
}

/// The `share` of the deadline before the watchdog called it a hang, in seconds since the rank's own start; nothing
/// without a hang.
std::optional<double> before_hang(double share, const BoxContent& rank, std::span<const BoxContent> ranks) {
  if (ended_by_hang(rank)) return rank.ending->time;
  std::optional<double> first;
  for (const BoxContent& other : ranks)
    if (ended_by_hang(other)) {
      const double time = seconds(other.ending->time - share * 1e-3 * static_cast<double>(other.deadline), other, ranks) -
                          seconds(0, rank, ranks);
      first = first ? std::min(*first, time) : time;
    }
  return first;
}

RankState state_of(const BoxContent& rank, std::span<const BoxContent> ranks) {
  // Who waited had come no further for the whole deadline: from its middle, hosts' clocks may differ by half of it.
  const std::optional<double> middle = before_hang(0.5, rank, ranks), hang = before_hang(0, rank, ranks);
  RankState state{&rank, {}, {}, {}, {}};
  for (const BoxEvent& event : rank.events) {
    // What comes after an end in order says nothing of the run; a hang may come there too.
    if (event.kind == Kind::ended && event.value != hang_code) break;
    if (event.kind == Kind::signal && event.value != SIGUSR1) state.signal = event;
    // A launcher lets a stopped rank go on for a moment before it ends it. A late one may have worked all the time.
    const double time = 1e-9 * static_cast<double>(event.time);
    if (event.kind == Kind::note && !(hang && time > *hang)) state.activity = event;
    if (middle && time > *middle) continue;
    if (event.kind == Kind::enter || event.kind == Kind::leave) state.wait = event;
    if (event.kind != Kind::signal && event.kind != Kind::ended && event.kind != Kind::saved) state.last = event;
  }
  return state;
}

std::vector<RankState> states_of(std::span<const BoxContent> ranks) {
  std::vector<RankState> states;
  for (const BoxContent& rank : ranks) states.push_back(state_of(rank, ranks));
  return states;
}

std::string who(const BoxContent& rank) {
  return fmt::format("rank {} on {} (pid {})", rank.rank, rank.host, rank.pid);
}

std::string signal_text(const BoxEvent& event) {
  return fmt::format("signal {} ({})", event.value, ::strsignal(static_cast<int>(event.value)));
}

std::string wait_text(const BoxEvent& event) {
  return event.value > 0 ? fmt::format("{} (#{}, {})", event.name(), event.sequence, byte_text(event.value))
                         : fmt::format("{} (#{})", event.name(), event.sequence);
}

std::string place(const RankState& state, std::span<const BoxContent> ranks) {
  if (state.last.number == 0) return "before its first event";
  const std::string step = state.last.step < 0 ? "before the first step" : fmt::format("at step {}", state.last.step);
  const std::string doing = state.is_waiting() ? "waiting in " + wait_text(state.wait)
                            : state.activity.number > 0 ? fmt::format("working on \"{}\"", state.activity.name())
                                                        : "working";
  const BoxEvent& latest = state.activity.number > state.last.number ? state.activity : state.last;
  const BoxEvent& since = state.is_waiting() ? state.wait : latest;
  return fmt::format("{} {} since +{:.3f} s", step, doing, seconds(since, *state.rank, ranks));
}

std::string end_text(const RankState& state, std::span<const BoxContent> ranks) {
  const BoxContent& rank = *state.rank;
  if (rank.ending)
    return fmt::format("ended with {} at +{:.3f} s", rank.ending->code, seconds(rank.ending->time, rank, ranks));
  if (state.signal.number > 0)
    return fmt::format("ended by {} at +{:.3f} s", signal_text(state.signal), seconds(state.signal, rank, ranks));
  return rank.runs ? "its process is there" : "no end: killed (SIGKILL), or lost with its host";
}

using Chosen = std::vector<const RankState*>;

template <class Choose>
Chosen those(const std::vector<RankState>& states, Choose choose) {
  Chosen chosen;
  for (const RankState& state : states)
    if (choose(state)) chosen.push_back(&state);
  return chosen;
}

std::string places(const Chosen& chosen, std::span<const BoxContent> ranks) {
  constexpr std::size_t most_named = 4;
  std::vector<std::string> texts;
  for (const RankState* state : chosen)
    if (texts.size() < most_named) texts.push_back(fmt::format("{} {}", who(*state->rank), place(*state, ranks)));
  return fmt::format("{}{}", fmt::join(texts, "; "), chosen.size() > most_named ? "; and others" : "");
}

std::string count_text(std::size_t count) {
  return count == 1 ? "1 rank" : fmt::format("{} ranks", count);
}

/// Of ranks that did not end by themselves: who is late, if anybody is.
Chosen late_ranks(const std::vector<RankState>& states) {
  const auto position = [](const RankState& state) { return state.position(); };
  const auto least = std::ranges::min(states, {}, position).position();
  const auto most = std::ranges::max(states, {}, position).position();
  if (least < most) return those(states, [&](const RankState& state) { return state.position() == least; });
  const Chosen endless = those(states, [](const RankState& state) { return !state.has_end(); });
  return endless.size() < states.size() ? endless : Chosen{};
}

std::string lateness(const std::vector<RankState>& states, std::span<const BoxContent> ranks) {
  const Chosen late = late_ranks(states);
  if (late.empty()) return "";
  const RankState& ahead = std::ranges::max(states, {}, [](const RankState& state) { return state.position(); });
  std::string text = places(late, ranks);
  if (late.front()->position() < ahead.position() && ahead.is_waiting()) {
    const Chosen waiting =
        those(states, [&](const RankState& state) { return state.position() == ahead.position(); });
    text += fmt::format(", and never entered {}, in which {} waited", wait_text(ahead.wait),
                        count_text(waiting.size()));
  }
  if (!late.front()->has_end()) text += fmt::format("; {}", end_text(*late.front(), ranks));
  return text;
}

std::string hang_verdict(const std::vector<RankState>& states, std::span<const BoxContent> ranks) {
  const std::string late = lateness(states, ranks);
  if (!late.empty())
    return fmt::format("A hang, ended by the watchdog after {:g} s: late is {}",
                       1e-3 * static_cast<double>(ranks.front().deadline), late);
  const auto reported = std::ranges::find(states, hang_code, &RankState::code);
  return fmt::format("A hang in which all ranks have come as far: {}", reported->rank->ending->words);
}

std::string killed_verdict(const Chosen& killed, const std::vector<RankState>& states,
                           std::span<const BoxContent> ranks) {
  if (killed.size() == states.size())
    return fmt::format("All ranks were killed (SIGKILL, or lost with their hosts), the first {} {}",
                       who(*killed.front()->rank), place(*killed.front(), ranks));
  return fmt::format("Killed (SIGKILL, for want of memory say), or lost with its host: {}; {} ended after that",
                     places(killed, ranks), count_text(states.size() - killed.size()));
}

std::string under_way(const std::vector<RankState>& states, std::span<const BoxContent> ranks) {
  const std::string behind = lateness(states, ranks);
  std::int64_t step = 0;
  for (const RankState& state : states) step = std::max(step, state.last.step);
  return fmt::format("The run is under way, at step {}{}", step,
                     behind.empty() ? "" : "; furthest behind just now is " + behind);
}

}  // namespace

bool was_asked_to_end(const BoxesOfRun& boxes) {
  const auto was_asked = [](const BoxContent& rank) {
    if (rank.ending || rank.runs || rank.events.empty()) return false;
    const BoxEvent& last = rank.events.back();
    return last.kind == Kind::signal && (last.value == SIGHUP || last.value == SIGINT || last.value == SIGTERM);
  };
  return boxes.damages.empty() && !boxes.ranks.empty() && std::ranges::all_of(boxes.ranks, was_asked);
}

std::string damages_text(const BoxesOfRun& boxes) {
  return fmt::format("{}: see whether these ranks' hosts share the run's folder and its disk has space and is sound; "
                     "of their end the launcher's output and the hosts' own logs tell",
                     fmt::join(boxes.damages, "; "));
}

BoxesOfRun read_black_boxes(const fs::path& folder) {
  BoxesOfRun found;
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".ring") paths.push_back(entry.path());
  if (paths.empty())
    fail(ExitCode::checkpoint, "{} holds no black box: name a run, as train --out wrote it", folder.string());
  std::ranges::sort(paths);
  for (const fs::path& path : paths) try {
      found.ranks.push_back(read_black_box(path));
      if (found.ranks.back().is_damaged())
        found.damages.push_back(
            fmt::format("{}: {} of its records are damaged", path.string(), found.ranks.back().torn));
    } catch (const Error& caught) {
      found.damages.emplace_back(caught.what());
    }
  if (found.ranks.empty()) fail(ExitCode::checkpoint, "{}", damages_text(found));
  std::set<std::string> names;
  for (const fs::path& path : paths) names.insert(path.filename().string());
  for (int rank = 0; rank < found.ranks.front().size; ++rank)
    if (!names.contains(BlackBox::file_name(rank)))
      found.damages.push_back(fmt::format("{} is missing", (folder / BlackBox::file_name(rank)).string()));
  return found;
}

std::string rank_line(const BoxContent& rank, std::span<const BoxContent> ranks) {
  const RankState state = state_of(rank, ranks);
  return fmt::format("{}: {}; {}", who(rank), place(state, ranks), end_text(state, ranks));
}

std::string verdict(std::span<const BoxContent> ranks) {
  const std::vector<RankState> states = states_of(ranks);
  const Chosen failed = those(states, [](const RankState& state) {
    return state.rank->ending && state.code() != 0 && state.code() != static_cast<int>(ExitCode::stopped) &&
           state.code() != hang_code;
  });
  if (!failed.empty()) {
    const RankState& first =
        **std::ranges::min_element(failed, {}, [&](const RankState* state) {
          return seconds(state->rank->ending->time, *state->rank, ranks);
        });
    return fmt::format("{} ended with {}: {}", failed.size() == states.size() ? "All ranks" : who(*first.rank),
                       first.code(), first.rank->ending->words);
  }
  const Chosen crashed = those(states, [](const RankState& state) {
    const std::int64_t number = state.signal.value;
    return state.signal.number > 0 && number != SIGTERM && number != SIGINT && number != SIGHUP;
  });
  if (!crashed.empty())
    return fmt::format("{} was ended by {}, {}", who(*crashed.front()->rank), signal_text(crashed.front()->signal),
                       place(*crashed.front(), ranks));
  if (std::ranges::count(states, hang_code, &RankState::code) > 0) return hang_verdict(states, ranks);
  if (std::ranges::any_of(ranks, &BoxContent::runs)) return under_way(states, ranks);
  const Chosen killed = those(states, [](const RankState& state) { return !state.has_end(); });
  if (!killed.empty()) return killed_verdict(killed, states, ranks);
  const Chosen ended_from_outside = those(states, [](const RankState& state) { return !state.rank->ending; });
  if (!ended_from_outside.empty())
    return fmt::format("Ended from outside by {}, {}", signal_text(ended_from_outside.front()->signal),
                       places({ended_from_outside.front()}, ranks));
  const bool stopped = states.front().code() == static_cast<int>(ExitCode::stopped);
  return fmt::format("All is well: {}, {} at step {}", count_text(states.size()),
                     stopped ? "stopped on request after saving" : "done", states.front().last.step);
}

std::string event_line(const BoxEvent& event, const BoxContent& rank, std::span<const BoxContent> ranks) {
  const auto text = [&]() -> std::string {
    switch (event.kind) {
      case Kind::step:
        return "begins";
      case Kind::enter:
        return "waits in " + wait_text(event);
      case Kind::leave:
        return "goes on";
      case Kind::note:
        return event.name();
      case Kind::saved:
        return fmt::format("has saved step {}", event.value);
      case Kind::signal:
        return signal_text(event);
      case Kind::ended:
        return fmt::format("ends with {}", event.value);
    }
    return "?";
  };
  return fmt::format("{:>+14.6f} s  step {:>9}  {}", seconds(event, rank, ranks), event.step, text());
}

std::string start_time(std::span<const BoxContent> ranks) {
  const std::time_t seconds_since_epoch = first_start(ranks) / 1'000'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(seconds_since_epoch));
}

}  // namespace ganymede
