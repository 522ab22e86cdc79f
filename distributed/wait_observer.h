#pragma once

#include <string_view>

namespace ganymede {

/// Told when the main thread begins and ends to wait for other ranks: how the watchdog knows what a rank is
/// stuck in.
class WaitObserver {
 public:
  virtual ~WaitObserver() = default;
  virtual void enter(std::string_view collective) = 0;
  virtual void leave() = 0;
};

}  // namespace ganymede
