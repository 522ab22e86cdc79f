#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/descriptor.h"

namespace ganymede {

/// A file that closes itself. Every failing call throws Error(storage) with path and cause.
class File {
 public:
  static File open_for_reading(const std::filesystem::path& path);
  /// Creates or truncates.
  static File create(const std::filesystem::path& path);
  /// Creates the file, or empties what a process that died left of it, and keeps others who call this off it
  /// until it is closed: for them it throws. On a file system without locks a file that is there already is
  /// refused.
  static File create_exclusively(const std::filesystem::path& path);
  /// Creates if absent; writes go to the end.
  static File open_for_appending(const std::filesystem::path& path);

  std::int64_t size() const;
  /// Fills `bytes` from `offset`. EINTR is retried, EIO and ESTALE a bounded number of times; a file that
  /// ends early throws.
  void read_at(std::int64_t offset, std::span<std::byte> bytes) const;
  void write(std::span<const std::byte> bytes);
  /// Writes `bytes` at `offset`; several threads may, where they do not overlap. Not for a file open for
  /// appending.
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  /// Reserves disk space for the first `size` bytes where the file system can, so that a full disk shows now.
  void reserve(std::int64_t size);
  void write(std::string_view text);
  /// fsync: on return the bytes survive a power loss (the name only once the folder is synced too).
  void sync();
  /// Closes and reports what close() says: on network file systems a failed write may show only here.
  void close();
  int descriptor() const { return descriptor_.number(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  File(int descriptor, std::filesystem::path path) : descriptor_(descriptor), path_(std::move(path)) {}
  Descriptor descriptor_;
  std::filesystem::path path_;
};

/// fsync of a folder: makes the names in it durable.
void sync_folder(const std::filesystem::path& folder);

/// rename(), then fsync of the target's folder.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Writes `text` so that a reader sees the old file or the whole new one, also after a crash:
/// a temporary name beside `path`, fsync, rename, fsync of the folder.
void write_file_durably(const std::filesystem::path& path, std::string_view text);

/// Throws Error(`storage`) where write_file_durably() would now: before long work whose result goes there.
void check_writable(const std::filesystem::path& path);

/// XXH3-64 of a file's bytes, read in parts. Throws Error(`storage`).
std::uint64_t digest_of_file(const std::filesystem::path& path);

/// The bytes of a regular file; nothing where there is none. Throws Error(`storage`) where that cannot be
/// told.
std::optional<std::int64_t> size_of_file(const std::filesystem::path& path);

/// The whole file. Throws Error(`storage`) if it cannot be read or holds more than `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, std::int64_t limit);

/// Creates the folder and its missing parents, durably.
void create_folders(const std::filesystem::path& folder);

}  // namespace ganymede
