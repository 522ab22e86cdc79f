#include "distributed/progress.h"

#include <algorithm>
#include <cstring>

namespace ganymede {
namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}

// A sequence lock: the reader discards what it copied if the version was odd or has changed meanwhile. The
// words are atomics, so that the discarded copy is no data race.
class ProgressBoard::Mark {
 public:
  explicit Mark(Word& version) : version_(version) {
    version_.fetch_add(1, relaxed);
    std::atomic_thread_fence(std::memory_order_release);
  }
  ~Mark() { version_.fetch_add(1, std::memory_order_release); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;

 private:
  Word& version_;
};

void ProgressBoard::enter(std::string_view what) noexcept {
  const Mark mark(version_);
  sequence_.store(sequence_.load(relaxed) + 1, relaxed);
  waiting_.store(1, relaxed);
  write(what_, what);
}

void ProgressBoard::leave() noexcept {
  const Mark mark(version_);
  waiting_.store(0, relaxed);
}

void ProgressBoard::note(std::string_view activity) noexcept {
  const Mark mark(version_);
  write(activity_, activity);
}

void ProgressBoard::set_step(std::int64_t step) noexcept {
  const Mark mark(version_);
  step_.store(static_cast<std::uint64_t>(step), relaxed);
  round_.store(round_.load(relaxed) + 1, relaxed);
  round_begin_.store(sequence_.load(relaxed), relaxed);
}

std::optional<Progress> ProgressBoard::read() const noexcept {
  for (int attempt = 0; attempt < 100; ++attempt) {
    Progress progress;
    progress.marks = version_.load(std::memory_order_acquire);
    progress.step = static_cast<std::int64_t>(step_.load(relaxed));
    progress.round = round_.load(relaxed);
    progress.sequence = sequence_.load(relaxed);
    progress.in_round = progress.sequence - round_begin_.load(relaxed);
    progress.waiting = waiting_.load(relaxed) != 0;
    read(what_, progress.what);
    read(activity_, progress.activity);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (progress.marks % 2 == 0 && version_.load(relaxed) == progress.marks) return progress;
  }
  return std::nullopt;
}

void ProgressBoard::write(Text& text, std::string_view value) noexcept {
  std::array<char, Progress::text_bytes> bytes;
  const std::size_t length = std::min(value.size(), bytes.size() - 1);
  const std::size_t words = length / sizeof(std::uint64_t) + 1;
  std::memset(bytes.data() + (words - 1) * sizeof(std::uint64_t), 0, sizeof(std::uint64_t));
  std::memcpy(bytes.data(), value.data(), length);
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i * sizeof word, sizeof word);
    text[i].store(word, relaxed);
  }
}

void ProgressBoard::read(const Text& text, std::array<char, Progress::text_bytes>& value) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint64_t word = text[i].load(relaxed);
    std::memcpy(value.data() + i * sizeof word, &word, sizeof word);
  }
}

}  // namespace ganymede
