#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/files.h"

namespace ganymede {

/// Writes a zip whose members are stored as they are (PKWARE's APPNOTE 6.3, method 0, with the 64-bit
/// extensions of section 4.5.3 in every member). It bears a temporary name until finish(). Throws
/// Error(storage).
class ZipWriter {
 public:
  explicit ZipWriter(std::filesystem::path path);
  /// Removes what was not finished.
  ~ZipWriter();
  ZipWriter(const ZipWriter&) = delete;
  ZipWriter& operator=(const ZipWriter&) = delete;

  /// A member of `head` followed by `body`.
  void add(std::string_view name, std::string_view head, std::span<const std::byte> body);
  /// Writes the directory, and puts the file in its place durably.
  void finish();

 private:
  struct Member {
    std::string name;
    std::uint32_t crc;
    std::uint64_t bytes, offset;
  };
  void write(std::string_view bytes);

  std::filesystem::path path_, temporary_;
  File file_;
  std::uint64_t written_ = 0;
  std::vector<Member> members_;
  bool finished_ = false;
};

}  // namespace ganymede
