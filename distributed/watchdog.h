#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "distributed/progress.h"
#include "distributed/socket.h"
#include "distributed/status_channel.h"

namespace ganymede {

struct HangNotice {
  std::string report;       ///< one line, see hang_report()
  bool is_waiting = false;  ///< this rank is, for others; else it is late itself
};

struct WatchdogOptions {
  int rank = 0;
  int size = 1;
  std::chrono::milliseconds deadline{0};  ///< 0: off
  /// Called on the watchdog thread; may end the process, may not throw.
  std::function<void(const HangNotice& hang)> on_hang;
};

/// Ends hangs: a thread on every rank that calls on_hang once the main thread has made no mark of progress
/// for the deadline, with a report that names the late rank. What the ranks need to know of each other
/// travels over TCP, not MPI.
///
///     const auto on_hang = [](const HangNotice& hang) {
///       print(hang.report);
///       end_process(86, [] { MPI_Abort(MPI_COMM_WORLD, 86); });
///     };
///     Watchdog watchdog({.rank = rank, .size = size, .deadline = 300s, .on_hang = on_hang});
///     watchdog.connect(broadcast(watchdog.address()));  // a string from rank 0, over MPI
///     watchdog.start();
///     watchdog.set_step(41);
///     watchdog.note("discriminator backward");
///     watchdog.enter("all_reduce gradients");  // wait for the others ...
///     watchdog.leave();
///
/// Time is that of the monotonic clock while the process ran: a clock that jumps, a stopped process or a
/// suspended machine blames nobody. At size 1 there is no network, and the thread watches its own main
/// thread.
class Watchdog {
 public:
  /// Rank 0 of several opens a TCP port. Throws Error(peer).
  explicit Watchdog(WatchdogOptions options);
  /// Joins the thread, within milliseconds unless on_hang is running.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// On rank 0 of several: where the others connect, to be broadcast; "" elsewhere and when off.
  std::string address() const;
  /// Where rank 0 listens; "" and rank 0's own call do nothing. Before start(). Throws Error(peer) if
  /// malformed.
  void connect(const std::string& address);
  /// Starts watching.
  void start();

  // Marks of progress: some tens of nanoseconds, from one thread at a time. Texts are cut at 95 characters.

  /// Before a wait that every rank enters, in the same order: who is behind is found by counting these calls
  /// since set_step. A wait that only some ranks enter blurs that until the next set_step; for a rank's own
  /// wait, say a full disk's, use note().
  void enter(std::string_view what) noexcept { board_.enter(what); }
  /// After it.
  void leave() noexcept { board_.leave(); }
  /// At the begin of any other activity ("loading a batch", "saving"); it holds until the next.
  void note(std::string_view activity) noexcept { board_.note(activity); }
  /// At the begin of each step, on every rank.
  void set_step(std::int64_t step) noexcept { board_.set_step(step); }

 private:
  using Time = StatusChannel::Time;
  bool is_on() const { return options_.deadline > Time(0); }
  void watch();
  RankStatus status(const Progress& progress, Time unmarked) const;

  WatchdogOptions options_;
  ProgressBoard board_;
  std::unique_ptr<StatusServer> server_;
  std::unique_ptr<StatusChannel> client_;
  Descriptor wake_;
  std::atomic<bool> stopping_{false};
  std::string host_;
  std::thread thread_;
};

/// Waits for SIGTERM, and 50 ms more once it has come, so that others leave first. True if it came: who launched the job is
/// ending it.
bool outlive_sigterm(std::chrono::milliseconds time);

/// Ends a job that hangs: calls `abort_job` (MPI_Abort) on a thread of its own, and _exit(code) if this
/// process still lives after `patience`. MPI_Abort was seen to block for ever once a network link was down.
[[noreturn]] void end_process(int code, std::function<void()> abort_job,
                              std::chrono::milliseconds patience = std::chrono::seconds(2));

}  // namespace ganymede
