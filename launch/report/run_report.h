#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace ganymede {

/// How much of a run goes into its report.
struct ReportLimits {
  std::size_t points = 1000;                         ///< of a curve
  std::size_t grids = 24;                            ///< of samples
  std::int64_t grid_bytes = std::int64_t{24} << 20;  ///< of all grids together, but for the newest
};

/// What the report's page shows of a run folder: options, starts, log, scores, grids. The run may be under
/// way; nothing of it is locked or changed, and files that are not there yet are left out. Lines that are no
/// JSON object are counted and passed over, a torn last line without counting.
///
/// Throws Error(storage) where the folder is none, is no run's, or cannot be read.
nlohmann::json run_report(const std::filesystem::path& run, const ReportLimits& limits = {});

}  // namespace ganymede
