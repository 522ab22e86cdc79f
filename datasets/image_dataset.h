#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/dataset_file.h"
#include "datasets/dataset_layout.h"

namespace ganymede {

/// The images of one dataset file, or of several joined in the order given: N images [C, H, W], each with a
/// label. One rank inspects the files with libhdf5 and sends the layout to the others; all of them attach to
/// it:
///
///     std::string layout = rank == 0 ? ImageDataset::inspect({"a.h5", "b.h5"}) : "";
///     // broadcast layout
///     const ImageDataset dataset = ImageDataset::attach(layout);
///     dataset.read(7, bytes);
///
/// Reading is safe from any thread. What is wrong with a file throws Error(dataset), naming file, object,
/// what was expected and what was found; a disk that fails throws Error(storage).
class ImageDataset {
 public:
  /// The layout of the files as JSON. Runs every check that needs no look at all pixels (verify_dataset()
  /// does the rest): types, shapes, ranges and class names, which must agree between files; storage; sizes;
  /// labels. The part that trusts libhdf5 with possibly damaged files runs in a child process under limits of
  /// time and memory.
  /// With `side`, one of levels(), of the smaller copies of the images.
  static std::string inspect(const std::vector<std::filesystem::path>& files, std::int64_t side = 0);

  /// Opens the files of a layout with plain open() and pread(): what every rank calls. A file whose size,
  /// labels or digests differ from those inspected is refused; a copy is welcome. Without digests it must be
  /// the very file, unmodified. Pixels are held against the digests by verify_block_of() alone.
  /// `cache_bytes` bounds the memory for decoded images of files that are stored in chunks with filters; by
  /// default default_cache(1). What comes with the images has half of that.
  static ImageDataset attach(const std::string& layout,
                             std::optional<std::int64_t> cache_bytes = std::nullopt);
  /// 1 GiB, or where that is less, the part of one of `processes` on a host of a quarter of memory_limit().
  static std::int64_t default_cache(int processes);

  std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t channels() const { return layout_.channels; }
  std::int64_t height() const { return layout_.height; }
  std::int64_t width() const { return layout_.width; }
  ElementType type() const { return layout_.type; }
  /// Sides of the smaller copies of its images that the files hold (`dataset pack --pyramid`), largest first.
  const std::vector<std::int64_t>& levels() const { return layout_.levels; }
  std::int64_t image_bytes() const { return layout_.image_bytes(); }
  /// The values that stand for -1 and 1.
  double low() const { return layout_.low; }
  double high() const { return layout_.high; }
  const std::vector<std::string>& class_names() const { return layout_.class_names; }
  /// K: the number of class names or, without any, one more than the largest label; 0 when no image has a
  /// label.
  std::int64_t classes() const { return classes_; }
  /// [N], each -1 (none) or in [0, K).
  std::span<const std::int64_t> labels() const { return labels_; }

  /// The stored values of an image, [C, H, W]. `image` has image_bytes() bytes.
  void read(std::int64_t index, std::span<std::byte> image) const;
  /// Makes the next but one read() faster where images are small; more is not known to help.
  void prefetch(std::int64_t index) const;
  /// Asks the kernel to read images [first, first + count) ahead.
  void advise(std::int64_t first, std::int64_t count) const;
  /// Checks the digests of the blocks that hold the image, each block once in the life of this object.
  void verify_block_of(std::int64_t index) const;

  /// "PATH: /images: image I": where an image lies, for messages.
  std::string where(std::int64_t index) const;

  /// How many consecutive images must be decoded to get at one of them; 1 where images are read singly.
  std::int64_t decoded_together() const;
  std::int64_t cache_bytes() const { return cache_->capacity(); }
  /// Whether every file has digests; foreign files have none.
  bool has_digests() const;
  /// Sixteen digits that tell this dataset from another, kept in checkpoints. Paths and copies make no
  /// difference.
  std::string digest() const;

  const std::vector<DatasetFile>& files() const { return files_; }

  /// The second image set [M, C', H, W], without labels; null without one.
  const ImageDataset* sources() const { return sources_.get(); }
  /// Whether its row i belongs to image i.
  bool has_paired_sources() const { return sources_ && sources_->layout_.paired; }
  /// [N, K, E]: its "images" have 1 channel, K rows and E columns; null without.
  const ImageDataset* embeddings() const { return embeddings_.get(); }
  /// [N, L]: its "images" have 1 channel, 1 row and L columns of int32; null without.
  const ImageDataset* tokens() const { return tokens_.get(); }
  /// Of the tokens.
  const VocabularyText& vocabulary() const { return layout_.vocabulary; }

 private:
  ImageDataset(DatasetLayout layout, std::int64_t cache_bytes);
  void check_fingerprints() const;
  /// Puts those that were found into a layout of these files.
  void note_fingerprints(DatasetLayout& layout) const;
  struct Place {
    const DatasetFile& file;
    std::int64_t index;
  };
  Place place_of(std::int64_t index) const;

  DatasetLayout layout_;
  std::shared_ptr<BlockCache> cache_;
  std::vector<DatasetFile> files_;
  std::vector<std::int64_t> first_;  ///< index of each file's first image
  std::vector<std::int64_t> labels_;
  std::int64_t classes_ = 0;
  std::shared_ptr<const ImageDataset> sources_, embeddings_, tokens_;
};

}  // namespace ganymede
