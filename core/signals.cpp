#include "core/signals.h"

#include <atomic>
#include <cerrno>
#include <csignal>

namespace ganymede {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not take a lock");

extern "C" void request_stop(int) {
  stop.store(true, std::memory_order_relaxed);
}

std::atomic<void (*)(int)> signal_seen{nullptr};
std::atomic<bool (*)(const void*)> bus_error_mended{nullptr};
struct sigaction action_before[NSIG];

/// Once the handler has returned, the signal comes again, as if there had been none.
void pass_on(int number) {
  sigaction(number, &action_before[number], nullptr);
  raise(number);
}

extern "C" void on_signal(int number) {
  const int error = errno;
  signal_seen.load()(number);
  if (number == SIGUSR1 && action_before[number].sa_handler != SIG_DFL)
    action_before[number].sa_handler(number);
  else
    pass_on(number);
  errno = error;
}

extern "C" void on_bus_error(int number, siginfo_t* info, void*) {
  if (!bus_error_mended.load()(info->si_addr)) pass_on(number);
}

}  // namespace

void install_stop_signal() {
  stop.store(false, std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = request_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  // A blocked signal stays blocked across exec: whoever started us may have left it so.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

bool stop_requested() {
  return stop.load(std::memory_order_relaxed);
}

void watch_signals(void (*seen)(int number)) {
  signal_seen = seen;
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGUSR1}) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    struct sigaction present {};
    sigaction(number, nullptr, &present);
    if (present.sa_handler == SIG_IGN || present.sa_handler == on_signal) continue;
    action_before[number] = present;
    sigaction(number, &action, nullptr);
  }
}

void mend_bus_errors(bool (*mend)(const void* address)) {
  bus_error_mended = mend;
  struct sigaction action {}, present{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, nullptr, &present);
  if ((present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == on_bus_error) return;
  action_before[SIGBUS] = present;
  sigaction(SIGBUS, &action, nullptr);
}

void ignore_broken_pipes() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigemptyset(&action.sa_mask);
  sigaction(SIGPIPE, &action, nullptr);
}

}  // namespace ganymede
