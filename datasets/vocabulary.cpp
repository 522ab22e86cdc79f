#include "datasets/vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>
#include <set>
#include <sstream>

#include "core/error.h"
#include "datasets/unicode_classes.h"

namespace ganymede {
namespace {

constexpr const char* end_name = "<|endoftext|>";

/// The code point at `at`, and how many bytes it takes. Of what is no UTF-8 one byte.
std::pair<std::uint32_t, std::size_t> character_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (size == 1 || at + size > text.size()) return {lead, 1};
  std::uint32_t code = lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i)
    code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
  return {code, size};
}

/// The end of the run of characters of one class from `at` on.
std::size_t end_of_run(std::string_view text, std::size_t at, CharacterClass kind) {
  while (at < text.size()) {
    const auto [code, size] = character_at(text, at);
    if (class_of_character(code) != kind) break;
    at += size;
  }
  return at;
}

/// The end of 's, 't, 're, 've, 'm, 'll or 'd at `at`, or `at`.
std::size_t end_of_contraction(std::string_view text, std::size_t at) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.substr(at).starts_with(ending)) return at + ending.size();
  return at;
}

/// Of a run of spaces at `at`: all of it at the end of the text, else all but its last, which belongs to what
/// follows; one of its own.
std::size_t end_of_spaces(std::string_view text, std::size_t at) {
  std::size_t end = at, last = at;
  while (end < text.size()) {
    const auto [code, size] = character_at(text, end);
    if (class_of_character(code) != CharacterClass::space) break;
    last = end;
    end += size;
  }
  return end == text.size() || last == at ? end : last;
}

std::size_t end_of_word(std::string_view text, std::size_t at) {
  if (const std::size_t end = end_of_contraction(text, at); end > at) return end;
  const std::size_t begin = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
  const CharacterClass kind = class_of_character(character_at(text, begin).first);
  return kind == CharacterClass::space ? end_of_spaces(text, at) : end_of_run(text, begin, kind);
}

/// The characters that stand for bytes in the files: printable ones of Latin 1 for themselves, others from U+0100 on.
struct Alphabet {
  std::array<std::uint32_t, 256> characters{};
  std::array<std::uint8_t, 256> order{};  ///< bytes by their characters

  Alphabet() {
    std::uint32_t next = 0x100;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      characters[byte] = printable ? byte : next++;
      order[byte] = static_cast<std::uint8_t>(byte);
    }
    std::ranges::sort(order, {}, [&](std::uint8_t byte) { return characters[byte]; });
  }
};

const Alphabet& alphabet() {
  static const Alphabet it;
  return it;
}

std::string written(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    const std::uint32_t code = alphabet().characters[static_cast<unsigned char>(byte)];
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0u | code >> 6);
      text += static_cast<char>(0x80u | (code & 0x3Fu));
    }
  }
  return text;
}

/// The inverse; nothing where a character stands for no byte.
std::optional<std::string> bytes_of(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, size] = character_at(text, at);
    const auto found = std::ranges::find(alphabet().characters, code);
    if (found == alphabet().characters.end()) return std::nullopt;
    bytes += static_cast<char>(found - alphabet().characters.begin());
    at += size;
  }
  return bytes;
}

}  // namespace

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_word(text, at);
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::int32_t Vocabulary::add(std::string bytes) {
  const auto [place, is_new] = ids_.emplace(bytes, static_cast<std::int32_t>(tokens_.size()));
  if (is_new) tokens_.push_back(std::move(bytes));
  return place->second;
}

namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

/// The words of the texts as tokens, each once, and the pairs of neighbours in them.
class PairCounts {
 public:
  PairCounts(std::span<const std::string> texts, const std::array<std::int32_t, 256>& bytes) {
    std::map<std::string_view, std::int64_t> counts;
    for (const std::string& text : texts)
      for (const std::string_view word : words_of(text)) ++counts[word];
    for (const auto& [word, count] : counts) {
      words_.push_back({{}, count});
      for (const char byte : word) words_.back().tokens.push_back(bytes[static_cast<unsigned char>(byte)]);
      count_pairs(words_.size() - 1, 1);
    }
    for (const auto& [pair, occurrences] : pairs_) queue_.push({occurrences.count, pair});
  }

  /// The most frequent pair, of equally frequent ones the smallest; its count is 0 where there is none.
  std::pair<std::int64_t, Pair> most_frequent() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const std::int64_t count = pairs_[top.pair].count;
      if (count == top.count) return {count, top.pair};
      if (count > 0) queue_.push({count, top.pair});
    }
    return {0, {}};
  }

  void merge(const Pair& pair, std::int32_t token) {
    const std::set<std::size_t> words = std::move(pairs_[pair].words);
    std::set<Pair> changed;
    for (const std::size_t index : words) {
      std::vector<std::int32_t>& tokens = words_[index].tokens;
      count_pairs(index, -1);
      std::vector<std::int32_t> merged;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const bool is_pair = i + 1 < tokens.size() && Pair(tokens[i], tokens[i + 1]) == pair;
        merged.push_back(is_pair ? token : tokens[i]);
        if (is_pair) ++i;
      }
      tokens = std::move(merged);
      count_pairs(index, 1);
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
        if (tokens[i] == token || tokens[i + 1] == token) changed.emplace(tokens[i], tokens[i + 1]);
    }
    pairs_.erase(pair);
    for (const Pair& each : changed) queue_.push({pairs_[each].count, each});
  }

 private:
  struct Word {
    std::vector<std::int32_t> tokens;
    std::int64_t count;
  };
  struct Occurrences {
    std::int64_t count = 0;
    std::set<std::size_t> words;
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void count_pairs(std::size_t index, int sign) {
    const Word& word = words_[index];
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      Occurrences& occurrences = pairs_[{word.tokens[i], word.tokens[i + 1]}];
      occurrences.count += sign * word.count;
      if (sign > 0) occurrences.words.insert(index);
    }
  }

  std::vector<Word> words_;
  std::map<Pair, Occurrences> pairs_;
  std::priority_queue<Candidate> queue_;  // counts may since have fallen
};

}  // namespace

Vocabulary Vocabulary::train(std::span<const std::string> texts, std::int64_t size) {
  Vocabulary vocabulary;
  for (const std::uint8_t byte : alphabet().order)
    vocabulary.bytes_[byte] = vocabulary.add(std::string(1, static_cast<char>(byte)));
  PairCounts counts(texts, vocabulary.bytes_);
  while (vocabulary.size() + 1 < size) {
    const auto [count, pair] = counts.most_frequent();
    if (count < 2) break;
    const std::int32_t token = vocabulary.add(vocabulary.tokens_[static_cast<std::size_t>(pair.first)] +
                                              vocabulary.tokens_[static_cast<std::size_t>(pair.second)]);
    vocabulary.merges_.emplace(pair, Merge{std::ssize(vocabulary.order_), token});
    vocabulary.order_.push_back(pair);
    counts.merge(pair, token);
  }
  vocabulary.end_ = static_cast<std::int32_t>(vocabulary.size());
  vocabulary.tokens_.emplace_back(end_name);
  return vocabulary;
}

Vocabulary Vocabulary::read(const VocabularyText& text, const std::string& where) {
  const auto refuse = [&](const std::string& what) { fail(ExitCode::dataset, "{}: {}", where, what); };
  const nlohmann::json ids = nlohmann::json::parse(text.vocab, nullptr, /*allow_exceptions=*/false);
  if (!ids.is_object() || ids.empty()) refuse("vocab.json is no object of ids by token, as GPT-2's is");
  Vocabulary vocabulary;
  vocabulary.tokens_.resize(ids.size());
  std::vector<bool> taken(ids.size());
  vocabulary.end_ = -1;
  for (const auto& [token, id] : ids.items()) {
    const std::int64_t place = id.is_number_integer() ? id.get<std::int64_t>() : -1;
    if (place < 0 || place >= std::ssize(taken) || taken[static_cast<std::size_t>(place)])
      refuse(fmt::format("vocab.json gives '{}' the id {}; expected 0 to {}, each once", token, id.dump(),
                         ids.size() - 1));
    taken[static_cast<std::size_t>(place)] = true;
    const auto bytes = token == end_name ? std::nullopt : bytes_of(token);
    // A special token stands for itself, and no text has it.
    vocabulary.tokens_[static_cast<std::size_t>(place)] = bytes.value_or(token);
    if (bytes) vocabulary.ids_.emplace(*bytes, static_cast<std::int32_t>(place));
    if (token == end_name) vocabulary.end_ = static_cast<std::int32_t>(place);
  }
  if (vocabulary.end_ < 0) refuse(fmt::format("vocab.json has no token {}, which ends captions", end_name));
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = vocabulary.ids_.find(std::string(1, static_cast<char>(byte)));
    if (found == vocabulary.ids_.end())
      refuse(fmt::format("vocab.json has no token for byte {}: it is no vocabulary of bytes", byte));
    vocabulary.bytes_[byte] = found->second;
  }
  std::istringstream lines(text.merges);
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    const auto id = [&](std::string_view part) {
      const auto bytes = bytes_of(part);
      const auto found = bytes ? vocabulary.ids_.find(*bytes) : vocabulary.ids_.end();
      if (space == std::string::npos || found == vocabulary.ids_.end())
        refuse(fmt::format("merges.txt: line {} is no pair of tokens of vocab.json", number));
      return found->second;
    };
    const std::string_view whole = line;
    const Pair pair{id(whole.substr(0, space)), id(whole.substr(std::min(space, whole.size() - 1) + 1))};
    const std::string joined = std::string(whole.substr(0, space)) + std::string(whole.substr(space + 1));
    if (vocabulary.merges_.emplace(pair, Merge{std::ssize(vocabulary.order_), id(joined)}).second)
      vocabulary.order_.push_back(pair);
  }
  return vocabulary;
}

VocabularyText Vocabulary::text() const {
  const auto name = [&](std::int32_t id) {
    const std::string& bytes = tokens_[static_cast<std::size_t>(id)];
    const auto found = ids_.find(bytes);
    return found != ids_.end() && found->second == id ? written(bytes) : bytes;
  };
  VocabularyText text{"{", "#version: 0.2\n"};
  for (std::int32_t id = 0; id < size(); ++id)
    text.vocab += fmt::format("{}{}: {}", id == 0 ? "" : ", ", nlohmann::json(name(id)).dump(), id);
  text.vocab += "}";
  for (const auto& [first, second] : order_) text.merges += fmt::format("{} {}\n", name(first), name(second));
  return text;
}

void Vocabulary::encode_word(std::string_view word, std::vector<std::int32_t>& out) const {
  std::vector<std::int32_t> tokens;
  for (const char byte : word) tokens.push_back(bytes_[static_cast<unsigned char>(byte)]);
  for (;;) {
    const Merge* best = nullptr;
    Pair chosen;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
      if (const auto found = merges_.find({tokens[i], tokens[i + 1]});
          found != merges_.end() && (!best || found->second.rank < best->rank)) {
        best = &found->second;
        chosen = found->first;
      }
    if (!best) break;
    std::vector<std::int32_t> merged;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool is_pair = i + 1 < tokens.size() && Pair(tokens[i], tokens[i + 1]) == chosen;
      merged.push_back(is_pair ? best->token : tokens[i]);
      if (is_pair) ++i;
    }
    tokens = std::move(merged);
  }
  out.insert(out.end(), tokens.begin(), tokens.end());
}

std::vector<std::int32_t> Vocabulary::encode(std::string_view text) const {
  std::vector<std::int32_t> tokens;
  for (const std::string_view word : words_of(text)) encode_word(word, tokens);
  return tokens;
}

std::string Vocabulary::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  for (const std::int32_t token : tokens) {
    if (token == end_) break;
    text += tokens_.at(static_cast<std::size_t>(token));
  }
  return text;
}

Vocabulary::Row Vocabulary::row(std::string_view caption, std::int64_t length) const {
  Row row{encode(caption), false};
  row.is_cut = std::ssize(row.tokens) >= length;
  row.tokens.resize(static_cast<std::size_t>(row.is_cut ? length - 1 : std::ssize(row.tokens)));
  row.tokens.resize(static_cast<std::size_t>(length), end_);
  return row;
}

}  // namespace ganymede
