#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/safetensors.h"
#include "core/shard_layout.h"

namespace ganymede {

/// What makes a folder a checkpoint: `manifest.json`, written last, with size and XXH3 of every shard, where
/// each tensor lies in them, and the caller's header. It ends in a digest of its own text, so that any
/// changed byte shows.
struct Manifest {
  static constexpr int current_version = 1;
  static constexpr const char* file_name = "manifest.json";

  int version = current_version;
  std::int64_t step = 0;
  /// The caller's: images seen, position, reseed count, options, rank count, bucket layout, method state, ...
  /// Finite numbers only: JSON has no others.
  nlohmann::json header;
  std::vector<FileRecord> shards;  ///< shard s was written by rank s
  std::vector<TensorRecord> tensors;

  /// The text of manifest.json. Throws Error(`checkpoint`) if the header holds text that is not UTF-8.
  std::string to_text() const;
  /// Throws Error(`checkpoint`), beginning with `where`, unless `text` is unchanged, of a version known here,
  /// and consistent: the shards' names are those of shard_name(), the pieces of every tensor cover it in
  /// order, no tensor and no part in a shard is named twice, and no shard is asked for more bytes than it
  /// has.
  static Manifest parse(std::string_view text, const std::string& where);
};

/// "shard-00001-of-00004.safetensors"
std::string shard_name(int rank, int world_size);

/// The folder's name: "step-000001000". Throws Error(`checkpoint`) on a step of more than nine digits.
std::string checkpoint_name(std::int64_t step);

/// A checkpoint that gives way to a new one of the same step bears this until the new one is in its place; a
/// crash between the two leaves it as the step's only whole one.
inline constexpr const char* replaced_suffix = ".replaced";

/// The step that a checkpoint's folder name tells, with or without that suffix; nothing for any other name.
std::optional<std::int64_t> step_of(const std::filesystem::path& checkpoint);

/// Reads and checks `checkpoint`/manifest.json; the shards are not looked at. Throws Error(`checkpoint`) if
/// it is missing or unsound, or if the folder's name tells another step, Error(`storage`) if reading fails.
Manifest read_manifest(const std::filesystem::path& checkpoint);

void to_json(nlohmann::json& json, const FileRecord& record);
/// Throws Error(`checkpoint`) on anything that to_json does not write.
void from_json(const nlohmann::json& json, FileRecord& record);

}  // namespace ganymede
