#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/event_file.h"
#include "core/named_tensors.h"
#include "core/run_folder.h"

namespace ganymede {

/// What a run tells of itself as it goes, for programs and for TensorBoard: the .jsonl files of a RunFolder,
/// and an EventFile beside them. Rank 0's. Every failure is an Error(`storage`).
///
/// In TensorBoard a report's "loss_d" is the scalar `train/loss_d`, a score's "fid" `scores/fid` (and its
/// error, where it has one, `scores/fid_error`), the sample grids are the images `samples`, layers' weights
/// the histograms `<player>/<layer>`, and each start's options and surroundings the texts `options` and
/// `environment`.
class RunLog {
 public:
  /// The run begins, or goes on, after `step`: what files say of later steps no longer holds (that of
  /// log.jsonl and metrics.jsonl, RunFolder::cut_back removes).
  RunLog(RunFolder& folder, std::int64_t step);

  /// `environment`: names and values of what the run now runs on; goes to starts.jsonl with the step.
  void start(const std::string& options, const nlohmann::json& environment);
  /// {"step": .., "loss_d": .., ..}: a line of log.jsonl; its numbers as scalars.
  void report(const nlohmann::json& report);
  /// {"step": .., "metrics": {"fid": {"value": .., "error": ..}}, "protocol": {..}}: a line of metrics.jsonl;
  /// values and errors as scalars.
  void score(const nlohmann::json& score);
  /// `png`: the picture's file.
  void samples(std::int64_t step, const std::filesystem::path& png, const std::string& tag = "samples");
  /// Histograms of up to eight of a player's tensors of two or more dimensions, from the first to the last at
  /// even distance, each through at most 65,536 of its values: milliseconds, whatever the size of the
  /// network.
  void weights(std::int64_t step, const std::string& player, const NamedTensors& weights);

  /// Why something of it has not got onto the disk yet; "" where all has.
  std::string trouble() const;

 private:
  RunFolder& folder_;
  std::int64_t step_;
  EventFile events_;
};

}  // namespace ganymede
