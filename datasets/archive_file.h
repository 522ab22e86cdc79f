#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct archive;

namespace ganymede {

/// A zip or tar file, the latter also compressed, read from front to back: the one place that knows
/// libarchive. Everything throws Error(dataset) with file, member and cause when the archive is damaged or of
/// another kind.
class ArchiveFile {
 public:
  enum class Kind { file, hard_link, other };
  struct Member {
    std::string name;  ///< as stored: UTF-8 where the archive says so
    Kind kind = Kind::other;
    std::optional<std::int64_t> size;  ///< what the archive claims, if it does
  };

  explicit ArchiveFile(std::filesystem::path path);

  /// Goes to the next member; none at the end. What was not read of the one before is passed over.
  std::optional<Member> next();
  /// Reads the current member on, and returns how many bytes came: fewer than asked for only at its end.
  std::size_t read(std::span<std::byte> bytes);
  /// The rest of the current member. Throws Error(dataset) if that is more than `limit` bytes.
  std::vector<std::byte> read_all(std::size_t limit);

 private:
  [[noreturn]] void fail_to_read() const;

  struct Free {
    void operator()(archive* handle) const;
  };
  std::filesystem::path path_;
  std::string member_;
  std::unique_ptr<archive, Free> handle_;
};

}  // namespace ganymede
