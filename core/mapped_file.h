#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/files.h"

namespace ganymede {

/// The bytes of a file as memory, to be read in small pieces: copying one out of the page cache costs a
/// fraction of a call of the kernel. All processes of a host share what is in memory, and the kernel takes it
/// back when it needs room.
///
/// A page that a disk fails to give, or that was cut off the file, is a signal (SIGBUS) in place of an error
/// code. The first mapping installs a handler for it, which passes on what copy() did not cause.
class MappedFile {
 public:
  /// The first `bytes` bytes of a file, which may be closed afterwards. Nothing where the system refuses: a
  /// limit of address space, a file system that cannot.
  static std::optional<MappedFile> of(const File& file, std::int64_t bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// Copies the bytes from `offset` on, all within the mapping. False where they cannot be had: then
  /// File::read_at() tries again and says what is wrong. Safe from any thread.
  [[nodiscard]] bool copy(std::int64_t offset, std::span<std::byte> to) const;
  /// Has the processor look up where `count` bytes lie that are copied soon: in a large file that takes as
  /// long as copying a kilobyte.
  void prefetch(std::int64_t offset, std::int64_t count) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace ganymede
