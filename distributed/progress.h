#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ganymede {

/// What the main thread was last seen doing. Texts end with a zero.
struct Progress {
  static constexpr std::size_t text_bytes = 96;  ///< longer texts are cut

  std::uint64_t marks = 0;                  ///< changes with every mark
  std::int64_t step = -1;                   ///< -1 before the first set_step
  std::uint64_t round = 0;                  ///< calls of set_step
  std::uint64_t sequence = 0;               ///< calls of enter
  std::uint64_t in_round = 0;               ///< of these, since the last set_step
  bool waiting = false;                     ///< between enter and leave
  std::array<char, text_bytes> what{};      ///< of the last enter
  std::array<char, text_bytes> activity{};  ///< of the last note
};

/// Where the main thread marks its progress and the watchdog thread looks. A mark costs some tens of
/// nanoseconds: it takes no lock, allocates nothing and reads no clock. One thread marks at a time; any may
/// read.
class ProgressBoard {
 public:
  void enter(std::string_view what) noexcept;
  void leave() noexcept;
  void note(std::string_view activity) noexcept;
  void set_step(std::int64_t step) noexcept;

  /// A consistent copy; nothing if the writer was preempted in the midst of a mark (look again later).
  std::optional<Progress> read() const noexcept;

 private:
  using Word = std::atomic<std::uint64_t>;
  using Text = std::array<Word, Progress::text_bytes / sizeof(std::uint64_t)>;
  class Mark;
  static void write(Text& text, std::string_view value) noexcept;
  static void read(const Text& text, std::array<char, Progress::text_bytes>& value) noexcept;

  Word version_{0};  // odd while a mark is being made
  Word step_{~std::uint64_t{0}}, round_{0}, sequence_{0}, round_begin_{0}, waiting_{0};
  Text what_{}, activity_{};
};

}  // namespace ganymede
