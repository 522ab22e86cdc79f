#include "core/background_work.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace ganymede {

struct BackgroundWork::State {
  std::atomic<std::uint64_t> ticks{0};
  std::atomic<bool> is_abandoned{false};
  std::mutex mutex;  // of the rest
  std::condition_variable changed;
  bool is_done = false;
  std::string text;
  std::exception_ptr error;

  void tick() {
    ++ticks;
    if (is_abandoned) throw std::runtime_error("nobody waits for this work");
  }
  void run(std::function<std::string(const Tick&)> given) noexcept {
    std::string told;
    std::exception_ptr thrown;
    try {
      const auto work = std::move(given);  // gone, with all that it owns, before it counts as done
      told = work([this] { tick(); });
    } catch (...) {
      thrown = std::current_exception();
    }
    const std::lock_guard lock(mutex);
    text = std::move(told);
    error = thrown;
    is_done = true;
    changed.notify_all();
  }
};

BackgroundWork::BackgroundWork(std::function<std::string(const Tick&)> work)
    : state_(std::make_shared<State>()),
      thread_([state = state_, work = std::move(work)]() mutable { state->run(std::move(work)); }) {}

BackgroundWork::~BackgroundWork() {
  state_->is_abandoned = true;
  wait_for(patience);
  if (is_done())
    thread_.join();
  else
    thread_.detach();
}

bool BackgroundWork::is_done() const {
  const std::lock_guard lock(state_->mutex);
  return state_->is_done;
}

std::uint64_t BackgroundWork::ticks() const {
  return state_->ticks;
}

void BackgroundWork::wait_for(std::chrono::milliseconds time) const {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, time, [&] { return state_->is_done; });
}

std::string BackgroundWork::result() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->error) std::rethrow_exception(state_->error);
  return state_->text;
}

}  // namespace ganymede
