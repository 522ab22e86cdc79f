#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace ganymede {

/// Work on a thread of its own, which ends with a text or an exception. The work owns all that it touches: where it
/// is stuck in a call to a dead file system, whoever began it goes on without it.
///
///     BackgroundWork work([=](const BackgroundWork::Tick& tick) {
///       return write_everything(path, tensors, tick);
///     });
///     while (!work.is_done()) train();
///     const std::string text = work.result();
class BackgroundWork {
 public:
  /// To be called now and then by the work. Throws where nobody waits for it any more.
  using Tick = std::function<void()>;

  explicit BackgroundWork(std::function<std::string(const Tick& tick)> work);
  /// Ends the work at its next tick; after `patience` it is left behind.
  ~BackgroundWork();
  BackgroundWork(const BackgroundWork&) = delete;
  BackgroundWork& operator=(const BackgroundWork&) = delete;

  bool is_done() const;
  /// How often the work has ticked: what changes shows that it goes on.
  std::uint64_t ticks() const;
  /// Waits until it is done, for so long at most.
  void wait_for(std::chrono::milliseconds time) const;
  /// The text once it is done, or what the work threw.
  std::string result() const;

  static constexpr std::chrono::seconds patience{5};

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace ganymede
