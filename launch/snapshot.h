#pragma once

#include "core/checkpoint_store.h"
#include "launch/process.h"
#include "models/method.h"

namespace ganymede {

/// What CollapseWatch remembers.
struct CollapseMemory {
  std::int64_t sound_step = -1;  ///< the last step whose samples were found to differ enough; -1: none yet
  std::int64_t low_looks = 0;    ///< looks since that found them too much alike
};

/// Where a run stands, beside its tensors.
struct RunProgress {
  std::int64_t step = 0;      ///< steps done
  std::int64_t position = 0;  ///< real images taken from the order of samples
  std::uint64_t reseed = 0;
  CollapseMemory collapse = {};
};

/// A checkpoint that was read through and found whole.
struct SoundCheckpoint {
  std::filesystem::path path;
  Manifest manifest;
};

/// Reads and verifies one checkpoint: rank 0 its manifest, every rank a part of its shards. Collective;
/// throws AgreedError(checkpoint).
SoundCheckpoint open_checkpoint(Process& process, const std::filesystem::path& checkpoint);

/// The newest sound checkpoint of a run folder; tells on rank 0's standard error what it passed over and why.
/// Nothing where there is no checkpoint at all; throws AgreedError(checkpoint) where none is sound.
/// With `last_step`, the newest of those up to that step. Collective.
std::optional<SoundCheckpoint> newest_checkpoint(
    Process& process, const std::filesystem::path& run,
    std::int64_t last_step = std::numeric_limits<std::int64_t>::max());

/// What a user names: a checkpoint, or a run, whose newest sound checkpoint is meant. Collective; throws
/// AgreedError(checkpoint) where there is neither.
SoundCheckpoint find_checkpoint(Process& process, const std::filesystem::path& run_or_checkpoint);

/// Copies a verified checkpoint's tensors into the method: rank 0 reads, the others receive through `group`,
/// which takes tensors on the method's device. Collective.
void restore(Process& process, Method& method, const SoundCheckpoint& checkpoint, Communicator& group);
/// RunProgress out of a manifest.
RunProgress progress_of(const Manifest& manifest);

/// All tensors of the players, and the method's own. Of what ranks share (Player::state()) without values.
NamedTensors state_of(Method& method);

/// What `rank`, this one, writes of a checkpoint of state_of(method), which is laid out so. What ranks share is
/// gathered kind by kind, and its parts are copies; the others are views. Collective where players are sharded.
NamedTensors shard_of(Method& method, const std::vector<TensorRecord>& layout, int rank);

}  // namespace ganymede
