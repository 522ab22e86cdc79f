#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/files.h"
#include "core/mapped_file.h"
#include "datasets/block_cache.h"
#include "datasets/chunked_array.h"
#include "datasets/dataset_layout.h"

namespace ganymede {

/// One file of an ImageDataset, opened by its layout with open() and pread() alone. Reading is safe from any
/// thread. What disagrees with layout or digests throws Error(dataset).
///
/// Images in chunks that go through filters, or that cut images apart, are decoded a row of chunks at a time,
/// and the rows last used are kept in a cache that the files of a dataset share; all others are read singly.
/// Small ones out of the mapped file, for a call of the kernel would cost more than copying the image.
class DatasetFile {
 public:
  /// Reads labels and digests. The file must have the size of the layout; one without digests also its time
  /// of modification and its inode.
  /// `number` tells this file's rows from those of the other files in the cache.
  DatasetFile(const DatasetLayout& dataset, std::size_t number, std::shared_ptr<BlockCache> cache);

  const FileLayout& layout() const { return layout_; }
  /// [count], -1 = none: all of them in a file without labels.
  const std::vector<std::int64_t>& labels() const { return labels_; }
  bool has_digests() const { return !digests_.empty(); }
  /// Whether images must be decoded, and how many of them to get at one.
  bool is_coded() const { return coded_; }
  std::int64_t decoded_together() const { return coded_ ? layout_.image_chunks.chunk[0] : 1; }
  /// XXH3-64 over labels and digests (or, without these, over some images): equal for a copy of the file.
  std::uint64_t fingerprint() const;

  /// [C, H, W], whatever the order in the file.
  void read(std::int64_t index, std::span<std::byte> image) const;
  /// Makes the next but one read() faster where images are small; more is not known to help.
  void prefetch(std::int64_t index) const;
  /// Asks the kernel to read images [first, first + count) ahead.
  void advise(std::int64_t first, std::int64_t count) const;
  /// The images of one block of /images (with chunks: of one row of them), each [C, H, W], checked against
  /// their digest if there is one.
  std::vector<std::byte> verify_block(std::int64_t block) const;
  /// Checks the blocks that hold the image, unless this object has done so before.
  void verify_blocks_of(std::int64_t index) const;

 private:
  void check_unchanged() const;
  void read_labels();
  void read_digests();
  ChunkedArray chunked_images() const { return {file_, layout_.name, layout_.image_chunks}; }
  std::int64_t offset_of(std::int64_t index) const;
  BlockCache::Block row_of(std::int64_t row) const;
  void read_row(std::int64_t row, std::span<std::byte> images) const;
  void advise_bytes(std::int64_t begin, std::int64_t bytes) const;

  FileLayout layout_;
  std::int64_t number_;
  ElementType type_;
  std::int64_t channels_, image_bytes_;
  bool coded_;
  std::shared_ptr<BlockCache> cache_;
  File file_;
  std::optional<MappedFile> mapped_;  ///< of small images
  std::vector<std::int64_t> labels_;
  std::vector<std::uint64_t> digests_;
  std::unique_ptr<std::atomic<bool>[]> verified_;
};

}  // namespace ganymede
