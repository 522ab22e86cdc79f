#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/files.h"
#include "datasets/dataset_layout.h"

namespace ganymede {

/// One file of an ImageDataset, opened by its layout with open() and pread() alone. Reading is safe from any
/// thread. What disagrees with layout or digests throws Error(dataset).
class DatasetFile {
 public:
  /// Reads labels and digests. The file must have the size of the layout; one without digests also its time
  /// of modification and its inode.
  DatasetFile(FileLayout layout, std::int64_t image_bytes);

  const FileLayout& layout() const { return layout_; }
  /// [count], -1 = none: all of them in a file without labels.
  const std::vector<std::int64_t>& labels() const { return labels_; }
  bool has_digests() const { return !digests_.empty(); }
  /// XXH3-64 over labels and digests (or, without these, over some images): equal for a copy of the file.
  std::uint64_t fingerprint() const;

  void read(std::int64_t index, std::span<std::byte> image) const;
  /// Asks the kernel to read images [first, first + count) ahead.
  void advise(std::int64_t first, std::int64_t count) const;
  /// Checks the bytes of one block of /images against their digest and returns them.
  std::vector<std::byte> verify_block(std::int64_t block) const;
  /// Checks the blocks that hold the image, unless this object has done so before.
  void verify_blocks_of(std::int64_t index) const;

 private:
  void check_unchanged() const;
  void read_labels();
  void read_digests();

  FileLayout layout_;
  std::int64_t image_bytes_;
  File file_;
  std::vector<std::int64_t> labels_;
  std::vector<std::uint64_t> digests_;
  std::unique_ptr<std::atomic<bool>[]> verified_;
};

}  // namespace ganymede
