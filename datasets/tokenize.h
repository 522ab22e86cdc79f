#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "datasets/vocabulary.h"

namespace ganymede {

struct TokenizeOptions {
  std::filesystem::path data;  ///< a dataset with /captions [N]: UTF-8 strings of fixed or variable length
  std::filesystem::path out;   ///< may be `data`
  /// A folder with vocab.json and merges.txt, or a dataset whose vocabulary it is to be; empty: one of `size` tokens is
  /// learned from the captions.
  std::filesystem::path vocabulary = {};
  std::int64_t size = 0;
  std::int64_t length = 0;  ///< tokens of a caption, its end one of them; 0: as many as the longest needs
};

struct TokenizeReport {
  std::int64_t images = 0, vocabulary = 0, length = 0;
  std::int64_t cut = 0;      ///< captions that were longer
  std::int64_t longest = 0;  ///< tokens of the longest, its end one of them
};

/// Writes a dataset of the images, labels, second image set, embeddings and captions of another, with the captions'
/// tokens and vocabulary: tokens and an end, and ends for the rest (Vocabulary::row). `out` is whole or is not there,
/// or is what it was. Holds all captions in memory.
///
/// Throws Error(dataset) where there are no captions, not one an image, one that is not UTF-8, or a file of the
/// vocabulary that is not as expected; Error(storage) if the disk fails.
TokenizeReport tokenize(const TokenizeOptions& options,
                        const std::function<void(std::int64_t done, std::int64_t total)>& progress = {});

}  // namespace ganymede
