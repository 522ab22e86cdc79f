#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/block_digests.h"
#include "datasets/chunk_table.h"
#include "datasets/element_type.h"
#include "datasets/vocabulary_text.h"

namespace ganymede {

/// Where the parts of one dataset file lie. An offset of -1 means that the file has no such part.
struct FileLayout {
  std::string path;                      ///< absolute
  std::int64_t size = 0;                 ///< of the file, in bytes
  std::int64_t modified = 0, inode = 0;  ///< nanoseconds; both tell a replaced file that has no digests
  std::string name = "/images";          ///< of the array that holds the images
  std::int64_t count = 0;                ///< images
  /// [N, C, H, W]; with chunks an extent without offset whose blocks are the rows of chunks.
  BlockedExtent images;
  ChunkTable image_chunks;          ///< empty when the images are contiguous
  bool channels_last = false;       ///< each image is stored as [H, W, C]
  std::int64_t image_digests = -1;  ///< one u64 for each block of `images`
  BlockedExtent labels = {.offset = -1};
  ChunkTable label_chunks;
  std::int64_t label_digests = -1;
  std::uint64_t fingerprint = 0;  ///< of labels and digests, see ImageDataset
};

/// All that a rank must know to read a dataset without libhdf5. N is the sum of the files' counts.
struct DatasetLayout {
  ElementType type = ElementType::uint8;
  std::int64_t channels = 0, height = 0, width = 0;
  double low = 0, high = 255;
  std::vector<std::string> class_names;
  std::vector<std::int64_t>
      levels;  ///< sides of the smaller copies that every file has, see schema::level_name()
  std::vector<FileLayout> files;
  /// What comes with the images, at most one of each. Of sources [M, C', H, W] uint8; of embeddings, whose one
  /// "image" has K captions as rows and E numbers as columns; of tokens, [1, L] int32 below the vocabulary's size.
  std::vector<DatasetLayout> sources, embeddings, tokens;
  VocabularyText vocabulary;  ///< of tokens; empty without
  bool paired = false;  ///< of sources: row i belongs to image i

  std::int64_t image_bytes() const { return channels * height * width * size_of(type); }
};

/// JSON, as rank 0 sends it to the others; numbers survive exactly.
std::string to_json(const DatasetLayout& layout);
DatasetLayout layout_from_json(const std::string& text);

}  // namespace ganymede
