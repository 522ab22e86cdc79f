#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "core/manifest.h"
#include "core/named_tensors.h"

namespace ganymede {

/// The folder `checkpoints/` of a run, holding a folder `step-NNNNNNNNN` each. A save goes:
///
///     rank r:   folder = store.begin(step, nonce)
///     rank 0:   store.clear_leftovers(folder)
///     rank r:   record = write_shard(folder, shard_of(tensors, r, R), r, R)   and tells rank 0
///     rank 0:   store.publish(folder, step, header, lay_out(tensors, R), records), or, if any rank failed,
///               discard(folder), once no rank writes any more
///     rank 0:   store.retain(step)
///
/// Until the rename inside publish() the checkpoint does not exist, after it the checkpoint is whole, also
/// after a kill or a power loss at any instant; what was whole before stays so until then. A restore goes:
///
///     for folder in list():
///       rank 0:   manifest = read_manifest(folder)               and tells the others
///       rank r:   verify_shards(folder, manifest, r, R)          and all agree
///       rank r:   read_tensors(folder, manifest)
///
/// and takes the next folder, saying why, where one of the three throws Error(`checkpoint`). Only one process
/// may save into a folder (RunFolder's lock sees to that) and only one save may be under way. Where the disk
/// is full, read-only or fails, everything here throws Error(`storage`): a restore must not take an older
/// folder for that.
class CheckpointStore {
 public:
  /// Makes the folder with the first begin(). `keep` >= 1: how many checkpoints stay. `keep_every` > 0: beyond those,
  /// all of steps that are multiples of it.
  CheckpointStore(std::filesystem::path folder, std::int64_t keep, std::int64_t keep_every = 0);

  /// Keeps this older step's checkpoint too, beyond the newest `keep`: the best. It replaces the one named
  /// before.
  void protect(std::optional<std::int64_t> step) { protected_ = step; }

  /// The same of the newest checkpoint at or before this step: what a run can go back to.
  void fall_back_to(std::optional<std::int64_t> step) { fallback_ = step; }

  /// The folder `step-NNNNNNNNN.tmp-NONCE` that a save's shards go to.
  std::filesystem::path temporary(std::int64_t step, std::string_view nonce) const;

  /// Makes that folder, unless another rank has made it already.
  std::filesystem::path begin(std::int64_t step, std::string_view nonce) const;

  /// Removes what unfinished saves left behind, but for `current`, the folder of the one under way.
  void clear_leftovers(const std::filesystem::path& current) const;

  /// Writes the manifest, makes all of it durable and renames it to its place, which is returned. `layout` is
  /// lay_out() of the tensors that shard_of() was given; `shards` the records of all ranks by rank. If the step
  /// has a checkpoint already, the new one replaces it. On failure `temporary` is removed where that is possible.
  std::filesystem::path publish(const std::filesystem::path& temporary, std::int64_t step,
                                const nlohmann::json& header, const std::vector<TensorRecord>& layout,
                                const std::vector<FileRecord>& shards) const;

  /// Of the checkpoints beside that of step `published` the newest stay, `keep` with it, the protected ones and
  /// those of each keep_every steps. Removed are older ones, those of later steps (of a course that this run has
  /// left by going back), and, but for those of each keep_every steps, which nobody looks at, those whose manifest
  /// or file sizes are wrong.
  void retain(std::int64_t published) const;

  /// Folders with a checkpoint's name, whole or not, newest first; empty if nothing was ever saved.
  std::vector<std::filesystem::path> list() const;

 private:
  void put_in_place(const std::filesystem::path& temporary, const std::filesystem::path& target) const;
  std::filesystem::path to_trash(const std::filesystem::path& checkpoint) const;

  std::filesystem::path folder_;
  std::int64_t keep_, keep_every_;
  std::optional<std::int64_t> protected_, fallback_;
};

/// Writes rank's `part` (from shard_of(), or copies of it) into the folder from begin(), durably. `tick` is
/// write_safetensors()'s.
FileRecord write_shard(const std::filesystem::path& folder, const NamedTensors& part, int rank,
                       int world_size, const std::function<void()>& tick = {});

/// Removes the folder of a save that failed, as far as the disk allows.
void discard(const std::filesystem::path& temporary) noexcept;

/// Compares the sizes of all shards with the manifest. Throws Error(`checkpoint`) that names the shard.
void check_sizes(const std::filesystem::path& checkpoint, const Manifest& manifest);

/// Reads the shards s with s % world_size == rank through and compares sizes and digests with the manifest:
/// together the ranks verify the whole. Throws Error(`checkpoint`) that names the shard.
void verify_shards(const std::filesystem::path& checkpoint, const Manifest& manifest, int rank = 0,
                   int world_size = 1);

/// Every tensor, contiguous, in host memory, in the order in which they were saved, by any number of ranks.
/// Checks dtypes and shapes against the shards' headers, and sizes and digests again while reading, so
/// nothing damaged is ever returned. Throws Error(`checkpoint`).
NamedTensors read_tensors(const std::filesystem::path& checkpoint, const Manifest& manifest);

}  // namespace ganymede
