#pragma once

#include "distributed/communicator.h"
#include "distributed/wait_observer.h"

namespace ganymede {

/// MPI from initialisation to finalisation; one a process. The only door to MPI.
class MpiSession {
 public:
  /// Initialises MPI. Signal handlers must be in place before.
  MpiSession();
  /// Finalises MPI, which waits for all ranks: leave only after the ranks have agreed to.
  ~MpiSession();

  /// All ranks. Collective.
  std::unique_ptr<Communicator> world();
  /// Told of every wait from now on; null ends that. Not owned.
  void observe(WaitObserver* observer) { observer_ = observer; }
  WaitObserver* observer() const { return observer_; }

  /// Ends all ranks with `code`, without their consent. May block for ever when a link is down.
  static void abort(int code);

 private:
  WaitObserver* observer_ = nullptr;
};

}  // namespace ganymede
