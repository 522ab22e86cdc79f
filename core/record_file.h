#pragma once

#include <string>
#include <string_view>

#include "core/files.h"

namespace ganymede {

/// A file to which whole records are added, a write each. Where one does not get in (a full disk), what arrived of it
/// is cut off again, and it is kept in memory to go before the next: a lack of space that passes leaves no gap.
class RecordFile {
 public:
  explicit RecordFile(File file) : file_(std::move(file)) {}

  /// Throws Error(`storage`) only where more than `most_kept` bytes would wait.
  void append(std::string_view record);
  /// Why records wait; "" where none does.
  const std::string& trouble() const { return trouble_; }
  const std::filesystem::path& path() const { return file_.path(); }

  static constexpr std::size_t most_kept = 64 << 20;

 private:
  File file_;
  std::string waiting_, trouble_;
};

}  // namespace ganymede
