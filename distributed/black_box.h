#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/descriptor.h"

namespace ganymede {

/// What a rank's main thread does, as its black box tells it.
struct BoxEvent {
  enum class Kind : std::uint32_t {
    step = 1,    ///< begins the step
    enter = 2,   ///< begins to wait in what all ranks enter; `value`: bytes of its largest tensor
    leave = 3,   ///< of the wait
    note = 4,    ///< begins another activity
    saved = 5,   ///< `value`: the step of which there is a checkpoint now
    signal = 6,  ///< `value`: its number
    ended = 7,   ///< `value`: the exit code; Ending has the words
  };
  static constexpr std::size_t text_bytes = 64;  ///< longer texts are cut

  std::uint64_t number = 0;       ///< of the event, from 1
  std::int64_t time = 0;          ///< nanoseconds since the start, by a clock that never jumps
  std::int64_t step = -1;         ///< -1 before the first
  std::int64_t value = 0;
  std::uint64_t sequence = 0;     ///< waits entered so far
  std::uint32_t round = 0;        ///< steps begun so far
  std::uint32_t in_round = 0;     ///< waits entered since
  Kind kind{};
  std::uint32_t unused = 0;
  std::array<char, text_bytes> text{};
  std::uint64_t check = 0;        ///< XXH3-64 of all before it: a record torn by a kill shows

  std::string name() const;
};
static_assert(sizeof(BoxEvent) == 128);

/// A rank's last events, in a file that is mapped into memory: what was written is in the file also after SIGKILL, for
/// the kernel owns it. (A machine that loses power loses the last seconds.) The file holds a page that says whose it
/// is and how it ended, and a ring of `capacity` records.
///
/// An event costs about a tenth of a microsecond: no lock, no allocation, no call of the kernel. set_step(), enter(),
/// leave() and note() are for the main thread alone; the others may be called from any thread and from signal handlers.
/// A disk that can no longer take the file (SIGBUS) costs the events, not the run.
class BlackBox {
 public:
  static constexpr std::uint32_t usual_capacity = 1024;  ///< the last ten to fifty steps, 132 KiB

  struct Owner {
    int rank = 0, size = 1;
    std::chrono::milliseconds deadline{0};  ///< the watchdog's, 0: none
  };
  /// RUN/blackbox, and what it was called by the start before.
  static std::filesystem::path folder(const std::filesystem::path& run) { return run / "blackbox"; }
  static std::filesystem::path folder_before(const std::filesystem::path& run) { return run / "blackbox.before"; }
  /// "rank-0003.ring"
  static std::string file_name(int rank);
  /// Makes an empty folder(run); the one there becomes folder_before(run). Rank 0, before any rank opens a box.
  /// Throws Error(`storage`).
  static void make_room(const std::filesystem::path& run);

  /// Makes the file, with room on the disk. Throws Error(`storage`), and leaves nothing there.
  BlackBox(const std::filesystem::path& path, const Owner& owner, std::uint32_t capacity = usual_capacity);
  ~BlackBox();
  BlackBox(const BlackBox&) = delete;
  BlackBox& operator=(const BlackBox&) = delete;

  void set_step(std::int64_t step) noexcept;
  void enter(std::string_view what, std::int64_t bytes) noexcept;
  void leave() noexcept;
  /// The same again within a second is left out.
  void note(std::string_view activity) noexcept;
  void saved(std::int64_t step) noexcept { add(BoxEvent::Kind::saved, step, {}); }
  void signalled(int number) noexcept { add(BoxEvent::Kind::signal, number, {}); }
  /// The first counts. `words`: the line that the user gets, "" if all is well.
  void ended(int code, std::string_view words) noexcept;

  /// Whether `address` lies in the mapping; if so memory takes the place of its file, for the fault handler.
  bool detach(const void* address) noexcept;

 private:
  void add(BoxEvent::Kind kind, std::int64_t value, std::string_view text) noexcept;
  std::int64_t now() const noexcept;

  std::span<std::byte> memory_;
  std::uint32_t capacity_;
  Descriptor lock_;  ///< held while the process lives
  std::int64_t start_ = 0;
  std::atomic<std::uint64_t> number_{0}, sequence_{0};
  std::atomic<std::int64_t> step_{-1};
  std::atomic<std::uint32_t> round_{0}, in_round_{0};
  std::atomic<bool> has_ended_{false};
  std::array<char, BoxEvent::text_bytes> noted_{};
  std::int64_t noted_at_ = 0;
};

/// What a black box says of its rank.
struct BoxContent {
  struct Ending {
    int code = 0;
    double time = 0;    ///< seconds since the start
    std::string words;  ///< the line that the user got
  };
  int rank = 0, size = 1;
  std::int64_t pid = 0;
  std::string host;
  std::int64_t wall_start = 0;       ///< nanoseconds of the Unix epoch
  std::int64_t deadline = 0;         ///< of the watchdog, milliseconds; 0: none
  bool runs = false;                 ///< the process is still there, if only stopped
  std::vector<BoxEvent> events;      ///< in order; the oldest may be lost
  std::int64_t torn = 0;             ///< records whose check is wrong: two at most unless the file was damaged
  std::optional<Ending> ending;      ///< none: killed, or lost with its machine

  bool is_damaged() const { return torn > 2; }
};

/// Reads what can be read, also while the rank runs. Throws Error(`checkpoint`) where that is nothing: no file, or
/// none of ours, or a damaged first page.
BoxContent read_black_box(const std::filesystem::path& path);

}  // namespace ganymede
