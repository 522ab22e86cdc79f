#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "distributed/progress.h"

namespace ganymede {

/// What one rank says of itself. Travels over the status channel as it lies in memory: all ranks run the same
/// program.
struct RankStatus {
  std::int32_t rank = 0;
  std::int32_t pid = 0;
  std::int64_t step = -1;
  std::uint64_t round = 0;     ///< as in Progress
  std::uint64_t sequence = 0;  ///< as in Progress
  std::uint64_t in_round = 0;  ///< as in Progress
  std::int64_t unmarked = 0;   ///< milliseconds since the main thread's last mark
  std::uint64_t waiting = 0;   ///< 1 inside a collective or long wait
  std::array<char, 64> host{};
  std::array<char, Progress::text_bytes> doing{};  ///< what it waits in, or works on
};

enum class Link : std::uint64_t { never, open, closed };

/// Another rank as seen from here.
struct SeenRank {
  RankStatus status;         ///< its last; only `rank` counts where link is never
  std::int64_t unheard = 0;  ///< milliseconds since it came
  Link link = Link::never;
};
static_assert(std::has_unique_object_representations_v<SeenRank>, "padding would send stray bytes");

/// Orders ranks by how much speaks for each being the cause of a hang:
/// 1. silent ones, longest silence first: connection closed, or unheard for half the deadline. A rank's
///    watchdog thread speaks whatever its main thread does, so the process is stopped, gone or cut off;
/// 2. ranks that work, outside any wait, with no mark for half the deadline;
/// 3. the rest by position: calls of set_step, collectives entered since, still waiting before done.
void sort_by_suspicion(std::vector<SeenRank>& ranks, std::chrono::milliseconds deadline);

/// One line on a main thread that made no mark for the deadline: where this rank (`own`) is, which rank is
/// late and where, and the remedy, e.g.
///
///     rank 0 on nodeA: no progress for 10.0 s at step 41 in all_reduce gradients (#1234): rank 1 on nodeB
///     (pid 77) is late: last seen 10.2 s ago at step 41 working on "discriminator backward" (#1230).
///     Remedy: see that host; raise --watchdog.seconds if the work is merely slow.
///
/// `others` are sorted by suspicion; the least suspect may be missing, and all of them where there is no
/// channel.
std::string hang_report(const RankStatus& own, const std::vector<SeenRank>& others,
                        std::chrono::milliseconds deadline);

}  // namespace ganymede
