#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/record_file.h"

namespace ganymede {

/// The folder that a run writes, held by one process at a time (rank 0's):
///
///     config.cfg      resolved options
///     log.jsonl       one JSON object a report
///     metrics.jsonl   one JSON object a score: {"step": .., "metrics": {"fid": {"value": ..}},
///                     "protocol": {..}, "best": the best step by then}
///     chain.jsonl     digests of each step: see ChainLink
///     starts.jsonl    one JSON object a start: the step it went on from, and on what it ran
///     samples/        pictures
///     checkpoints/    see CheckpointStore
///     .lock           locked while the run lives; tells who holds it
///
/// Every failure is an Error(`storage`).
class RunFolder {
 public:
  static constexpr const char* config_name = "config.cfg";
  static constexpr const char* log_name = "log.jsonl";
  static constexpr const char* metrics_name = "metrics.jsonl";
  static constexpr const char* chain_name = "chain.jsonl";
  static constexpr const char* starts_name = "starts.jsonl";

  /// Makes the folder and its parents, or opens it; locks it; tries whether it can be written. Throws if
  /// `folder` is a symbolic link or a file, cannot be written, or is held by another process, which the
  /// message then names.
  explicit RunFolder(const std::filesystem::path& folder);

  /// Nothing of a run was in it when it was opened: no options, no log, nothing in checkpoints/.
  bool is_fresh() const { return is_fresh_; }

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path samples() const { return folder_ / "samples"; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

  /// Each adds one line to its file in one write: it outlives this process, though not a power loss. Lines that
  /// do not fit on the disk now wait for the next (RecordFile).
  void append_log(const nlohmann::json& report) { append(log_name, report); }
  void append_score(const nlohmann::json& score) { append(metrics_name, score); }
  void append_chain(const nlohmann::json& link) { append(chain_name, link); }
  void append_start(const nlohmann::json& start) { append(starts_name, start); }

  /// On resume from `step`: durably removes from log, metrics and chain the lines whose "step" is greater, and what
  /// is no JSON object, such as a last line torn by a kill; and the pictures of later steps. From 0 the chain begins anew.
  void cut_back(std::int64_t step);

  /// The picture of a step, or one of another `kind` of letters.
  std::filesystem::path sample(std::int64_t step, std::string_view kind = "") const { return samples() / sample_name(step, kind); }
  static std::string sample_name(std::int64_t step, std::string_view kind = "");
  /// Why lines wait; "" where none does.
  std::string trouble() const;

  /// Durably, replacing the old.
  void write_config(std::string_view text) const;

 private:
  void append(const char* file, const nlohmann::json& line);
  void cut_lines_back(const char* file, std::int64_t step);
  void cut_samples_back(std::int64_t step);

  std::filesystem::path folder_;
  File lock_;
  bool is_fresh_ = false;
  std::map<std::string, RecordFile> open_;  ///< by name, once something was appended
};

}  // namespace ganymede
