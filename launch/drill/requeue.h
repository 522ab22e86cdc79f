#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launch/doctor/verdict.h"

namespace ganymede {

/// What a drill that put its own Slurm job back into the queue finds at the job's next start.
struct DrillRecord {
  std::vector<std::string> lines;  ///< of the table so far
  ExitCode code = ExitCode::done;
  std::int64_t restarts = 0;  ///< of the job by then
};

/// The record in the drill's folder, or nothing. Throws Error(checkpoint) where it is damaged.
std::optional<DrillRecord> read_record(const std::filesystem::path& folder);

/// Removes it.
void forget_record(const std::filesystem::path& folder);

/// Whether, and why not, this process could put its job back into the queue: "" where it could.
std::string no_requeue_because(bool asked_for);

/// Writes the record, calls `scontrol requeue` and waits for the end that it brings: returns only where that does not
/// come in time.
Verdict requeue(const std::filesystem::path& folder, DrillRecord record,
                std::chrono::seconds patience = std::chrono::seconds(120));

/// At the next start: whether Slurm counts one more.
Verdict after_requeue(const DrillRecord& record);

}  // namespace ganymede
