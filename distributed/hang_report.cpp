#include "distributed/hang_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <tuple>

namespace ganymede {
namespace {

enum class Grade { silent, stuck, behind };

Grade grade(const SeenRank& rank, std::chrono::milliseconds deadline) {
  const std::int64_t long_time = deadline.count() / 2;
  if (rank.link == Link::closed || rank.unheard >= long_time) return Grade::silent;
  if (!rank.status.waiting && rank.status.unmarked + rank.unheard >= long_time) return Grade::stuck;
  return Grade::behind;
}

// Counted from the last set_step, a wait that only some ranks enter (a collective among a few of them)
// disturbs the comparison for one step at most. Calls are counted, not steps compared: a run may go back to
// an earlier step.
auto position(const RankStatus& status) {
  return std::tuple(status.round, status.in_round, status.waiting == 0);
}

template <std::size_t size>
std::string text(const std::array<char, size>& characters) {
  std::string value(characters.data(), strnlen(characters.data(), size));
  for (char& c : value) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';  // the report stays one line
  }
  return value;
}

std::string seconds(std::int64_t milliseconds) {
  return fmt::format("{:.1f} s", milliseconds / 1000.0);
}

std::string place(const RankStatus& status) {
  const std::string step = status.step < 0 ? "before the first step" : fmt::format("at step {}", status.step);
  const std::string doing = status.waiting ? fmt::format("in {}", text(status.doing))
                                           : fmt::format("working on \"{}\"", text(status.doing));
  return fmt::format("{} {} (#{})", step, doing, status.sequence);
}

std::string name(const RankStatus& status) {
  std::string value = fmt::format("rank {}", status.rank);
  if (status.host[0]) value += fmt::format(" on {}", text(status.host));
  if (status.pid > 0) value += fmt::format(" (pid {})", status.pid);
  return value;
}

std::string describe(const SeenRank& rank, std::chrono::milliseconds deadline) {
  const std::string who = name(rank.status);
  const std::string silence = seconds(rank.unheard);
  const std::string last = place(rank.status);
  if (rank.link == Link::never) return fmt::format("{} is late: not heard of in all {}", who, silence);
  if (rank.link == Link::closed) {
    return fmt::format("{} is late: it has left or lost its link, last seen {} ago {}", who, silence, last);
  }
  if (grade(rank, deadline) != Grade::silent) {
    return fmt::format("{} is late: {}, no mark for {}", who, last,
                       seconds(rank.status.unmarked + rank.unheard));
  }
  // Rank 0 answers all others; it is the one they miss when it stops.
  if (rank.status.rank == 0)
    return fmt::format("{} has not answered for {}: last seen {}", who, silence, last);
  return fmt::format("{} is late: last seen {} ago {}", who, silence, last);
}

// The first of `others` and those as suspect as it.
std::vector<SeenRank> culprits(const RankStatus& own, const std::vector<SeenRank>& others,
                               std::chrono::milliseconds deadline) {
  std::vector<SeenRank> found;
  if (others.empty()) return found;
  const Grade worst = grade(others[0], deadline);
  if (worst == Grade::behind && position(others[0].status) >= position(own)) return found;
  for (const SeenRank& other : others) {
    const bool alike = worst == Grade::silent || position(other.status) == position(others[0].status);
    if (grade(other, deadline) == worst && alike) found.push_back(other);
  }
  return found;
}

std::string blame(const RankStatus& own, const std::vector<SeenRank>& others,
                  std::chrono::milliseconds deadline) {
  constexpr const char* slow = "raise --watchdog.seconds if the work is merely slow.";
  if (!own.waiting) {
    return fmt::format("this rank is late itself (pid {}). Remedy: see what holds it; {}", own.pid, slow);
  }
  if (others.empty()) {
    return fmt::format("nothing is known of other ranks. Remedy: see the last lines of each; {}", slow);
  }
  const std::vector<SeenRank> late = culprits(own, others, deadline);
  if (late.empty()) {
    return fmt::format(
        "no rank is late, all heard of have come as far. Remedy: see the network between the hosts; {}",
        slow);
  }
  constexpr std::size_t most_named = 4;
  std::string line;
  for (std::size_t i = 0; i < std::min(most_named, late.size()); ++i) {
    line += (i ? "; " : "") + describe(late[i], deadline);
  }
  if (late.size() > most_named) line += "; and others";
  return fmt::format("{}. Remedy: see {}; {}", line, late.size() == 1 ? "that host" : "those hosts", slow);
}

}  // namespace

void sort_by_suspicion(std::vector<SeenRank>& ranks, std::chrono::milliseconds deadline) {
  std::sort(ranks.begin(), ranks.end(), [deadline](const SeenRank& a, const SeenRank& b) {
    const Grade left = grade(a, deadline);
    const Grade right = grade(b, deadline);
    if (left != right) return left < right;
    if (left == Grade::silent && a.unheard != b.unheard) return a.unheard > b.unheard;
    if (left != Grade::silent && position(a.status) != position(b.status)) {
      return position(a.status) < position(b.status);
    }
    return a.status.rank < b.status.rank;
  });
}

std::string hang_report(const RankStatus& own, const std::vector<SeenRank>& others,
                        std::chrono::milliseconds deadline) {
  return fmt::format("rank {} on {}: no progress for {} {}: {}", own.rank, text(own.host),
                     seconds(own.unmarked), place(own), blame(own, others, deadline));
}

}  // namespace ganymede
