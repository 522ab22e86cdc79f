#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "core/manifest.h"
#include "core/named_tensors.h"

namespace ganymede {

/// The folder `checkpoints/` of a run, holding a folder `step-NNNNNNNNN` each. A save goes:
///
///     rank 0:   folder = store.begin(step, nonce)              and tells the others
///     rank r:   record = write_shard(folder, shard_of(tensors, r, R), r, R)   and tells rank 0
///     rank 0:   store.publish(folder, step, header, tensors, records), or discard(folder) if any rank failed
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
  /// Makes the folder with the first begin(). `keep` >= 1: how many checkpoints stay.
  CheckpointStore(std::filesystem::path folder, std::int64_t keep);

  /// Keeps this older step's checkpoint too, beyond the newest `keep`: the best. It replaces the one named
  /// before.
  void protect(std::optional<std::int64_t> step) { protected_ = step; }

  /// The same of the newest checkpoint at or before this step: what a run can go back to.
  void fall_back_to(std::optional<std::int64_t> step) { fallback_ = step; }

  /// Makes the folder `step-NNNNNNNNN.tmp-NONCE` for the shards and clears away what unfinished saves left.
  std::filesystem::path begin(std::int64_t step, std::string_view nonce) const;

  /// Writes the manifest, makes all of it durable and renames it to its place, which is returned. `tensors`
  /// tells names, dtypes and shapes in the order that shard_of() was given; `shards` the records of all ranks
  /// by rank. If the step has a checkpoint already, the new one replaces it. Then the newest `keep` stay, and
  /// the protected ones.
  /// Removed are older ones, those of later steps (of a course that this run has left by going back), and
  /// those whose manifest or file sizes are wrong. On failure `temporary` is removed where that is possible.
  std::filesystem::path publish(const std::filesystem::path& temporary, std::int64_t step,
                                const nlohmann::json& header, const NamedTensors& tensors,
                                const std::vector<FileRecord>& shards) const;

  /// As publish() ends, for a step that is there: to be called when protect() names another one without a save.
  void retain(std::int64_t published) const;

  /// Folders with a checkpoint's name, whole or not, newest first; empty if nothing was ever saved.
  std::vector<std::filesystem::path> list() const;

 private:
  void put_in_place(const std::filesystem::path& temporary, const std::filesystem::path& target) const;
  void remove_leftovers() const;
  std::filesystem::path to_trash(const std::filesystem::path& checkpoint) const;

  std::filesystem::path folder_;
  std::int64_t keep_;
  std::optional<std::int64_t> protected_, fallback_;
};

/// Writes rank's `part` (from shard_of(), or copies of it) into the folder from begin(), durably.
FileRecord write_shard(const std::filesystem::path& folder, const NamedTensors& part, int rank,
                       int world_size);

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
