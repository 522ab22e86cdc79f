#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "datasets/element_type.h"
#include "datasets/vocabulary_text.h"

namespace ganymede {

/// What a dataset file will hold: N = `count` images of C = `channels`, H = `height`, W = `width`.
struct DatasetDescription {
  ElementType type = ElementType::uint8;
  std::int64_t count = 0, channels = 0, height = 0, width = 0;
  double low = 0, high = 255;                 ///< the values that stand for -1 and 1; uint8 has 0 and 255
  std::vector<std::string> class_names = {};  ///< UTF-8; class k is labelled k; may be empty
  std::map<std::string, std::string> provenance = {};  ///< root attributes: source, resizer, writer, ...
  bool pyramid = false;                                ///< smaller copies too, of all schema::level_sides()
  /// A second image set of uint8, as high and wide; none for a count of 0.
  struct Sources {
    std::int64_t count = 0, channels = 0;
    bool paired = false;  ///< row i belongs to image i
  };
  Sources sources = {};
  /// [N, captions, numbers] float32, or [N, numbers] where captions = 0; none for 0 numbers.
  struct Embeddings {
    std::int64_t captions = 0, numbers = 0;
  };
  Embeddings embeddings = {};
  std::int64_t caption_bytes = 0;  ///< of the longest caption, in UTF-8; 0 where there are none
  /// Captions as [N, length] int32; none for a length of 0.
  struct Tokens {
    std::int64_t length = 0;
    VocabularyText vocabulary = {};
  };
  Tokens tokens = {};

  std::int64_t image_bytes() const { return channels * height * width * size_of(type); }
  std::int64_t source_bytes() const { return sources.channels * height * width; }
  /// Of one image.
  std::int64_t text_bytes() const { return caption_bytes + 4 * tokens.length; }
  /// Of one image.
  std::int64_t embedding_bytes() const {
    return std::max<std::int64_t>(1, embeddings.captions) * embeddings.numbers * 4;
  }
};

/// Writes a dataset file of a known number of images:
///
///     /images          [N, C, H, W]  contiguous, 4 KiB aligned, allocated at once
///     /labels          [N] int64     -1 = none
///     /class_names     [K] UTF-8     absent without classes
///     /imgs, /dataSxS                hard links to /images (the latter for H = W = S), by which
///                                    BigGAN-PyTorch and ProGAN tools find it
///     /dataRxR         [N, C, R, R]  of a pyramid: averages, for R = S / 2, S / 4, ... 4; each with its digests
///     /sources         [M, C', H, W] uint8, a second image set; its attribute `paired` is 1 where row i belongs to
///                                    image i
///     /embeddings      [N, E] or [N, K, E] float32
///     /captions        [N] UTF-8
///     /tokens          [N, L] int32  captions by the vocabulary
///     /vocabulary      [2] UTF-8     the files of a VocabularyText
///     /integrity/{images,labels,class_names,sources,embeddings,captions,tokens,vocabulary}
///                      [B] uint64    XXH3-64 of each block of `block_bytes` (an attribute) bytes
///     root attributes                format, format_version, uuid, value_range [low, high], the provenance
///
/// The file grows beside `path` under the name `path`.partial; finish() publishes it, replacing what was
/// there, and a writer that is destroyed before removes it. What a killed writer left is replaced; while
/// another writer of the same file lives, Error(storage) says so. Failures of the disk throw Error(storage)
/// and leave nothing behind; a description that no reader would take throws Error(dataset).
///
///     DatasetWriter writer("digits.h5", {.count = 1797, .channels = 1, .height = 32, .width = 32});
///     writer.write_images(0, bytes);   // all of them, in any pieces
///     writer.write_labels(labels);
///     writer.finish();
class DatasetWriter {
 public:
  DatasetWriter(std::filesystem::path path, DatasetDescription description);
  ~DatasetWriter();
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  /// Images `first`, `first` + 1, ... in the layout [C, H, W], as many as `images` holds. May be called by
  /// any thread, in any order, at the same time.
  void write_images(std::int64_t first, std::span<const std::byte> images);
  /// The same of the second image set.
  void write_sources(std::int64_t first, std::span<const std::byte> images);
  /// The same of embeddings, those of whole images.
  void write_embeddings(std::int64_t first, std::span<const float> numbers);
  /// The same of captions, each of at most caption_bytes.
  void write_captions(std::int64_t first, std::span<const std::string> captions);
  /// The same of tokens, those of whole captions.
  void write_tokens(std::int64_t first, std::span<const std::int32_t> tokens);

  /// All N labels at once, each -1 or below the number of class names (schema::most_classes when there are
  /// no names). Without this call every label is -1.
  void write_labels(std::span<const std::int64_t> labels);

  /// Digests, fsync, rename. Every image and row of what comes with them must have been written. Called once, when no
  /// other thread writes any more.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ganymede
