#pragma once

#include "distributed/communicator.h"
#include "distributed/wait_observer.h"

namespace ganymede {

/// MPI counts elements in an int: longer tensors travel in pieces of at most this many.
inline constexpr std::int64_t longest_piece = std::int64_t{1} << 28;

/// MPI from initialisation to finalisation; one a process. The only door to MPI.
class MpiSession {
 public:
  /// Initialises MPI. Signal handlers must be in place before. All-reduces and broadcasts of more than
  /// `piece` elements travel in pieces, on all ranks alike.
  explicit MpiSession(std::int64_t piece = longest_piece);
  /// Finalises MPI, which waits for all ranks: leave only after the ranks have agreed to.
  ~MpiSession();

  /// All ranks. Collective.
  std::unique_ptr<Communicator> world();
  /// Told of every wait from now on; null ends that. Not owned.
  void observe(WaitObserver* observer) { observer_ = observer; }
  WaitObserver* observer() const { return observer_; }
  std::int64_t piece() const { return piece_; }
  /// Up to how many ranks an all-reduce is made of messages (MpiExchange); above, the MPI library's own. The
  /// same on all ranks.
  int most_exchanging() const { return most_exchanging_; }
  void set_most_exchanging(int ranks) { most_exchanging_ = ranks; }

  /// Ends all ranks with `code`, without their consent. May block for ever when a link is down.
  static void abort(int code);

 private:
  std::int64_t piece_;
  int most_exchanging_ = 16;
  WaitObserver* observer_ = nullptr;
};

}  // namespace ganymede
