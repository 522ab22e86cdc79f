#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ganymede {

/// What happens to a rank of a rehearsal in the midst of its training.
enum class Strike {
  kill,  ///< SIGKILL to the last rank
  stop,  ///< SIGSTOP to the last rank
  full,  ///< no rank can write a file longer than `strike_bytes` any more, as if the disk were full
};

inline constexpr std::int64_t strike_bytes = 8192;

/// "kill", "stop", "full"; strike_named() throws Error(options) for any other name.
std::string_view name_of(Strike strike);
Strike strike_named(std::string_view name);

/// The file beside a run folder that tells that it was struck.
std::filesystem::path struck_mark(const std::filesystem::path& run);

/// The newest step that a run's log.jsonl tells; -1 where it tells none. A line that is being written does not count.
std::int64_t logged_step(const std::filesystem::path& run);

/// In the place of every rank: the launcher starts `ganymede drill strike KIND STEP RUN COMMAND ...`; this process
/// becomes `ganymede COMMAND ...`, a rank like any other. A child of its own watches the run's log and strikes once
/// that tells STEP: so a rank is struck on whichever host it is. `arguments` begin with KIND. Throws Error(options).
[[noreturn]] void run_to_be_struck(std::span<const std::string> arguments);

}  // namespace ganymede
