#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "datasets/vocabulary_text.h"

namespace ganymede {

/// A vocabulary of byte pairs: byte pair encoding (Sennrich et al., arXiv 1508.07909, algorithm 1) over the bytes of
/// UTF-8, as GPT-2 has it (Radford et al., 2019, section 2.2). A text is cut into words (words_of), whose bytes are
/// tokens to begin with; of two neighbours that make a pair the pair that was learned first becomes one token, until
/// there is none. Every text has tokens, and their bytes are the text.
///
///     const Vocabulary vocabulary = Vocabulary::train(captions, 512);
///     vocabulary.decode(vocabulary.encode("a red square"));   // "a red square"
class Vocabulary {
 public:
  /// Learns pairs from texts until there are `size` tokens, 257 at least: the 256 bytes first, in GPT-2's order, then
  /// one for each pair, the most frequent first, of equally frequent ones that of the smaller tokens; the end's comes
  /// last. There are fewer where no pair comes twice any more. The same texts give the same vocabulary.
  static Vocabulary train(std::span<const std::string> texts, std::int64_t size);
  /// Throws Error(dataset) that begins with `where` unless the files fit each other, hold every byte, and ids 0, 1, ...
  /// each once, among them that of "<|endoftext|>".
  static Vocabulary read(const VocabularyText& text, const std::string& where);
  /// The files, the same for the same vocabulary.
  VocabularyText text() const;

  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  /// The token after a caption, and in the place of those that it has not.
  std::int32_t end() const { return end_; }
  std::vector<std::int32_t> encode(std::string_view text) const;
  /// The bytes of tokens up to the first end.
  std::string decode(std::span<const std::int32_t> tokens) const;

  /// A caption as a row of `length`: its tokens, an end, and ends for the rest.
  struct Row {
    std::vector<std::int32_t> tokens;
    bool is_cut;  ///< its last tokens found no place
  };
  Row row(std::string_view caption, std::int64_t length) const;

 private:
  using Pair = std::pair<std::int32_t, std::int32_t>;
  struct Merge {
    std::int64_t rank;
    std::int32_t token;
  };
  std::int32_t add(std::string bytes);
  void encode_word(std::string_view word, std::vector<std::int32_t>& out) const;

  std::vector<std::string> tokens_;  ///< bytes, by id; of the end its name
  std::unordered_map<std::string, std::int32_t> ids_;
  std::map<Pair, Merge> merges_;
  std::vector<Pair> order_;  ///< of merges_
  std::array<std::int32_t, 256> bytes_{};
  std::int32_t end_ = 0;
};

/// The words of a text as GPT-2's pattern has them: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+|
/// ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+. Joined they are the text, which must be UTF-8.
std::vector<std::string_view> words_of(std::string_view text);

}  // namespace ganymede
