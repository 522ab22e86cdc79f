#include "core/checkpoint_store.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr const char* temporary_mark = ".tmp-";
constexpr const char* trash_prefix = "trash-";

std::vector<std::filesystem::path> folders_in(const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  if (!std::filesystem::exists(parent, error) && !error) return folders;
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) folders.push_back(entry->path());
  }
  if (error) fail(ExitCode::storage, "cannot list {}: {}", parent.string(), error.message());
  return folders;
}

void check_digest(const std::filesystem::path& path, std::uint64_t found, const FileRecord& shard) {
  if (found != shard.digest)
    fail(ExitCode::checkpoint, "{} is damaged: its digest is {} instead of {}", path.string(), hex(found),
         hex(shard.digest));
}

bool looks_whole(const std::filesystem::path& checkpoint) {
  try {
    check_sizes(checkpoint, read_manifest(checkpoint));
    return true;
  } catch (const Error& error) {
    // What cannot be read just now may be whole.
    return error.code() != ExitCode::checkpoint;
  }
}

/// Where the elements of a shard's tensor go, and as what the manifest says they are stored.
struct Destination {
  at::Tensor elements;
  TensorType stored;
};
using Destinations = std::map<std::string, Destination>;

/// One map a shard; `tensors` gets the tensors that they point into.
std::vector<Destinations> allocate(const Manifest& manifest, NamedTensors& tensors) {
  std::vector<Destinations> destinations(manifest.shards.size());
  for (const TensorRecord& record : manifest.tensors) {
    const at::Tensor tensor = at::empty(record.type.shape, at::TensorOptions(record.type.dtype));
    tensors.emplace_back(record.name, tensor);
    for (const Piece& piece : record.pieces) {
      const at::Tensor elements = tensor.flatten().narrow(0, piece.elements.first, piece.elements.count);
      destinations[static_cast<std::size_t>(piece.shard)].emplace(
          piece.key, Destination{elements, record.stored_type(piece)});
    }
  }
  return destinations;
}

void check_header(const SafetensorsFile& file, const std::filesystem::path& path,
                  const Destinations& destinations) {
  for (const auto& [key, destination] : destinations) {
    const auto found = file.tensors().find(key);
    if (found == file.tensors().end())
      fail(ExitCode::checkpoint, "{} lacks the tensor {}", path.string(), quote(key));
    if (found->second.type != destination.stored)
      fail(ExitCode::checkpoint, "{}: {} is {}, the manifest says {}", path.string(), quote(key),
           found->second.type.text(), destination.stored.text());
  }
  if (file.tensors().size() != destinations.size())
    fail(ExitCode::checkpoint, "{} holds {} tensors, the manifest lists {}", path.string(),
         file.tensors().size(), destinations.size());
}

void check_records(const std::vector<FileRecord>& shards) {
  for (std::size_t rank = 0; rank < shards.size(); ++rank)
    TORCH_CHECK(shards[rank].name == shard_name(static_cast<int>(rank), static_cast<int>(shards.size())),
                "shard records out of order: ", shards[rank].name, " at ", rank);
}

}  // namespace

CheckpointStore::CheckpointStore(std::filesystem::path folder, std::int64_t keep, std::int64_t keep_every)
    : folder_(std::move(folder)), keep_(keep), keep_every_(keep_every) {
  if (keep_ < 1) fail(ExitCode::options, "at least one checkpoint must be kept, not {}", keep_);
}

std::filesystem::path CheckpointStore::temporary(std::int64_t step, std::string_view nonce) const {
  return folder_ / fmt::format("{}{}{}", checkpoint_name(step), temporary_mark, nonce);
}

std::filesystem::path CheckpointStore::begin(std::int64_t step, std::string_view nonce) const {
  const std::filesystem::path folder = temporary(step, nonce);
  create_folders(folder);
  return folder;
}

std::filesystem::path CheckpointStore::publish(const std::filesystem::path& temporary, std::int64_t step,
                                               const nlohmann::json& header,
                                               const std::vector<TensorRecord>& layout,
                                               const std::vector<FileRecord>& shards) const {
  const std::filesystem::path target = folder_ / checkpoint_name(step);
  try {
    check_records(shards);
    const Manifest manifest{Manifest::current_version, step, header, shards, layout};
    // Also syncs the folder, and with it the shards' names.
    write_file_durably(temporary / Manifest::file_name, manifest.to_text());
    put_in_place(temporary, target);
  } catch (...) {
    discard(temporary);
    throw;
  }
  return target;
}

void CheckpointStore::put_in_place(const std::filesystem::path& temporary,
                                   const std::filesystem::path& target) const {
  std::filesystem::path replaced = target;
  replaced += replaced_suffix;
  std::error_code ignored;
  if (std::filesystem::exists(target, ignored)) {
    if (std::filesystem::exists(replaced, ignored)) discard(to_trash(replaced));
    rename_durably(target, replaced);
  }
  rename_durably(temporary, target);
}

void CheckpointStore::retain(std::int64_t published) const {
  std::int64_t kept = 0;
  bool can_fall_back = !fallback_;
  std::vector<std::filesystem::path> trash;
  for (const std::filesystem::path& checkpoint : list()) {
    const bool is_published = checkpoint.filename() == checkpoint_name(published);
    const bool is_older = *step_of(checkpoint) < published;
    const bool is_protected = is_older && step_of(checkpoint) == protected_;
    const bool is_fallback =
        !can_fall_back && is_older && step_of(checkpoint) <= fallback_ && looks_whole(checkpoint);
    can_fall_back = can_fall_back || is_fallback || (is_published && published <= fallback_);
    const bool is_periodic = is_older && keep_every_ > 0 && *step_of(checkpoint) % keep_every_ == 0 &&
                             checkpoint.extension() != replaced_suffix;
    if (is_published || (is_older && kept < keep_ && looks_whole(checkpoint)))
      ++kept;
    else if (is_periodic)
      continue;
    else if (is_fallback || (is_protected && looks_whole(checkpoint)))
      continue;
    else
      trash.push_back(to_trash(checkpoint));
  }
  if (trash.empty()) return;
  // Durable before any file in them goes: a name that came back after a power loss would promise what is
  // gone.
  sync_folder(folder_);
  for (const std::filesystem::path& checkpoint : trash) discard(checkpoint);
}

void CheckpointStore::clear_leftovers(const std::filesystem::path& current) const {
  for (const std::filesystem::path& folder : folders_in(folder_)) {
    const std::string name = folder.filename().string();
    const std::size_t mark = name.find(temporary_mark);
    const bool is_temporary = mark != std::string::npos && step_of(name.substr(0, mark));
    const bool is_trash = name.starts_with(trash_prefix) && step_of(name.substr(std::strlen(trash_prefix)));
    if ((is_temporary && folder.filename() != current.filename()) || is_trash) discard(folder);
  }
}

std::filesystem::path CheckpointStore::to_trash(const std::filesystem::path& checkpoint) const {
  const std::filesystem::path trash = folder_ / (trash_prefix + checkpoint.filename().string());
  discard(trash);
  std::error_code error;
  std::filesystem::rename(checkpoint, trash, error);
  if (error)
    fail(ExitCode::storage, "cannot remove the old checkpoint {}: {}", checkpoint.string(), error.message());
  return trash;
}

std::vector<std::filesystem::path> CheckpointStore::list() const {
  std::vector<std::filesystem::path> checkpoints = folders_in(folder_);
  std::erase_if(checkpoints, [](const std::filesystem::path& folder) { return !step_of(folder); });
  // By step, and of one step the one without suffix first: it is the newer.
  std::sort(checkpoints.begin(), checkpoints.end(),
            [](const std::filesystem::path& left, const std::filesystem::path& right) {
              const auto left_step = *step_of(left), right_step = *step_of(right);
              return left_step != right_step ? left_step > right_step : left < right;
            });
  return checkpoints;
}

FileRecord write_shard(const std::filesystem::path& folder, const NamedTensors& part, int rank,
                       int world_size, const std::function<void()>& tick) {
  const FileRecord record = write_safetensors(folder / shard_name(rank, world_size), part, {}, tick);
  // On a network file system each machine answers for the names that it made.
  sync_folder(folder);
  return record;
}

void discard(const std::filesystem::path& temporary) noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(temporary, ignored);
}

void check_sizes(const std::filesystem::path& checkpoint, const Manifest& manifest) {
  for (const FileRecord& shard : manifest.shards) {
    const std::filesystem::path path = checkpoint / shard.name;
    const std::optional<std::int64_t> size = size_of_file(path);
    if (!size) fail(ExitCode::checkpoint, "{} lacks {}", checkpoint.string(), shard.name);
    if (*size != shard.size)
      fail(ExitCode::checkpoint, "{} holds {} bytes instead of {}: it was cut or replaced", path.string(),
           *size, shard.size);
  }
}

void verify_shards(const std::filesystem::path& checkpoint, const Manifest& manifest, int rank,
                   int world_size) {
  check_sizes(checkpoint, manifest);
  for (std::size_t shard = static_cast<std::size_t>(rank); shard < manifest.shards.size();
       shard += static_cast<std::size_t>(world_size)) {
    const FileRecord& record = manifest.shards[shard];
    check_digest(checkpoint / record.name, digest_of_file(checkpoint / record.name), record);
  }
}

NamedTensors read_tensors(const std::filesystem::path& checkpoint, const Manifest& manifest) {
  // First of all: the manifest asks for no more memory than its shards have bytes, so they must really have
  // them.
  check_sizes(checkpoint, manifest);
  NamedTensors tensors;
  const std::vector<Destinations> destinations = allocate(manifest, tensors);
  for (std::size_t shard = 0; shard < manifest.shards.size(); ++shard) {
    const std::filesystem::path path = checkpoint / manifest.shards[shard].name;
    const SafetensorsFile file = SafetensorsFile::open(path);
    check_header(file, path, destinations[shard]);
    const auto elements_of = [&](const std::string& key) { return destinations[shard].at(key).elements; };
    check_digest(path, file.read_all(elements_of), manifest.shards[shard]);
  }
  return tensors;
}

}  // namespace ganymede
