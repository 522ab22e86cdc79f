#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "distributed/black_box.h"

namespace ganymede {

/// The black boxes of one start of a run.
struct BoxesOfRun {
  std::vector<BoxContent> ranks;     ///< those that could be read, by rank
  std::vector<std::string> damages;  ///< a line for each that is missing or damaged
};

/// Reads those in the folder. Throws Error(`checkpoint`) if there are none.
BoxesOfRun read_black_boxes(const std::filesystem::path& folder);

/// Whether each of its ranks ended by a signal with which people and schedulers ask for that (HUP, INT, TERM), and by
/// nothing else. Where a rank fails mpirun ends the others so, but not that one.
bool was_asked_to_end(const BoxesOfRun& boxes);

/// The damages, of which there are some, and what to look at.
std::string damages_text(const BoxesOfRun& boxes);

/// Where a rank was at last, and what became of it:
///
///     rank 0 on nodeA (pid 76): at step 41 waiting in all_reduce gradients (#1234, 1.2 MiB) since +12.346 s; ended
///     with 86 at +22.401 s
///
/// Times are in seconds since the first rank's start.
std::string rank_line(const BoxContent& rank, std::span<const BoxContent> ranks);

/// What happened, in one sentence: which rank failed, of what; who was killed; in a hang, which rank is late. Late is
/// who has begun fewer steps, entered fewer waits since, or is not waiting where others wait; among ranks that have
/// come equally far, who has no end: stopped, killed, or lost with its host. `ranks` is not empty.
std::string verdict(std::span<const BoxContent> ranks);

/// "+12.346 s  step 41  enter all_reduce gradients (#1234, 1.2 MiB)"
std::string event_line(const BoxEvent& event, const BoxContent& rank, std::span<const BoxContent> ranks);

/// "2026-11-22 09:42:11 UTC", when the first rank started by its host's clock.
std::string start_time(std::span<const BoxContent> ranks);

}  // namespace ganymede
