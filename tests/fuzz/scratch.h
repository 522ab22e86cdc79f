#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ganymede {

/// A new folder, on a file system in memory where there is one, that goes with its object.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Replaces the file's bytes, without a thought for durability.
void put_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace ganymede
