#pragma once

#include <cstdint>
#include <string_view>

namespace ganymede {

/// Told when the main thread begins and ends to wait for other ranks: how the watchdog and the black box know what a
/// rank is stuck in.
class WaitObserver {
 public:
  virtual ~WaitObserver() = default;
  /// `bytes`: of the largest of its tensors.
  virtual void enter(std::string_view collective, std::int64_t bytes) = 0;
  virtual void leave() = 0;
};

}  // namespace ganymede
