#pragma once

#include "core/checkpoint_store.h"
#include "launch/process.h"
#include "models/method.h"

namespace ganymede {

/// Where a run stands, beside its tensors.
struct RunProgress {
  std::int64_t step = 0;      ///< steps done
  std::int64_t position = 0;  ///< real images taken from the order of samples
  std::uint64_t reseed = 0;
};

/// Saves and loads checkpoints of a method, all ranks together.
class Snapshots {
 public:
  Snapshots(Process& process, std::filesystem::path folder, std::int64_t keep)
      : process_(process), store_(std::move(folder), keep) {}

  /// Writes a checkpoint: every rank its shard, rank 0 the manifest. `header` is kept beside the progress.
  /// Collective.
  void save(Method& method, const RunProgress& progress, nlohmann::json header);

  /// The newest checkpoint that verifies, restored into the method; says through `note` (on rank 0) what it
  /// passed over and why. Returns nothing where there is no checkpoint at all; throws AgreedError(checkpoint)
  /// where none is sound. Collective.
  std::optional<Manifest> load_newest(Method& method, const std::function<void(const std::string&)>& note);

 private:
  Process& process_;
  CheckpointStore store_;
};

/// Reads a checkpoint's manifest on rank 0 and gives it to all. Collective; throws AgreedError(checkpoint).
Manifest read_manifest_together(Process& process, const std::filesystem::path& checkpoint);
/// Verifies the shards, each rank its part. Collective; throws AgreedError(checkpoint).
void verify_together(Process& process, const std::filesystem::path& checkpoint, const Manifest& manifest);
/// Copies a verified checkpoint's tensors into the method: rank 0 reads, the others receive. Collective.
void restore(Process& process, Method& method, const std::filesystem::path& checkpoint,
             const Manifest& manifest);
/// RunProgress out of a manifest.
RunProgress progress_of(const Manifest& manifest);

/// All tensors of all players.
NamedTensors state_of(Method& method);

}  // namespace ganymede
