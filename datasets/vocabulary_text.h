#pragma once

#include <string>

namespace ganymede {

/// A vocabulary of byte pairs as its two files in the layout of Hugging Face and GPT-2 have it, both UTF-8: an object of
/// ids by token, and a pair a line in the order of merging. datasets/vocabulary.h reads them.
struct VocabularyText {
  std::string vocab;   ///< vocab.json
  std::string merges;  ///< merges.txt

  bool empty() const { return vocab.empty(); }
  bool operator==(const VocabularyText&) const = default;
};

}  // namespace ganymede
