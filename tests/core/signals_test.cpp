#include "core/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

namespace ganymede {
namespace {

// Signal dispositions belong to the process: each check runs in its own. Returns the child's wait status.
int in_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(StopSignal, SetsTheFlagAndASecondChangesNothing) {
  EXPECT_EQ(in_child([] {
              install_stop_signal();
              if (stop_requested()) return false;
              raise(SIGUSR1);
              if (!stop_requested()) return false;
              raise(SIGUSR1);
              return stop_requested();
            }),
            0);
}

TEST(StopSignal, KillsWhereItIsNotInstalled) {
  const int status = in_child([] { return raise(SIGUSR1) == 0; });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

TEST(StopSignal, ArrivesThoughTheParentHadBlockedOrIgnoredIt) {
  EXPECT_EQ(in_child([] {
              std::signal(SIGUSR1, SIG_IGN);
              sigset_t signals;
              sigfillset(&signals);
              pthread_sigmask(SIG_SETMASK, &signals, nullptr);
              install_stop_signal();
              raise(SIGUSR1);
              return stop_requested();
            }),
            0);
}

TEST(StopSignal, DoesNotBreakABlockedRead) {
  EXPECT_EQ(in_child([] {
              install_stop_signal();
              int ends[2];
              if (pipe(ends) != 0) return false;
              const pthread_t reader = pthread_self();
              std::thread other([&] {
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                pthread_kill(reader, SIGUSR1);
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                if (write(ends[1], "x", 1) != 1) _exit(2);
              });
              char byte = 0;
              const bool whole = read(ends[0], &byte, 1) == 1 && byte == 'x';
              other.join();
              return whole && stop_requested();
            }),
            0);
}

volatile sig_atomic_t last_seen = 0;

void see(int number) {
  last_seen = number;
}

TEST(WatchSignals, TellsAndLeavesWhatComesOfThem) {
  EXPECT_EQ(in_child([] {
              install_stop_signal();
              watch_signals(see);
              raise(SIGUSR1);
              return last_seen == SIGUSR1 && stop_requested();
            }),
            0);
  for (const int number : {SIGTERM, SIGSEGV, SIGABRT, SIGUSR1}) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    static int telling = 0;
    telling = ends[1];
    const int status = in_child([&] {
      std::signal(number, SIG_DFL);  // a sanitizer's is another
      watch_signals([](int seen) {
        const char byte = static_cast<char>(seen);
        if (write(telling, &byte, 1) != 1) _exit(2);
      });
      return raise(number) == 0;
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number) << number;
    char told = 0;
    EXPECT_TRUE(read(ends[0], &told, 1) == 1 && told == number) << number;
    close(ends[0]);
    close(ends[1]);
  }
}

TEST(WatchSignals, WhatIsIgnoredStaysSo) {
  EXPECT_EQ(in_child([] {
              std::signal(SIGHUP, SIG_IGN);
              watch_signals(see);
              return raise(SIGHUP) == 0 && last_seen == 0;
            }),
            0);
}

TEST(MendBusErrors, WhatIsNotMendedKills) {
  const int status = in_child([] {
    std::signal(SIGBUS, SIG_DFL);
    mend_bus_errors([](const void*) { return false; });
    return raise(SIGBUS) == 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

TEST(BrokenPipe, IsAnErrorAndNotTheEnd) {
  EXPECT_EQ(in_child([] {
              ignore_broken_pipes();
              int ends[2];
              if (pipe(ends) != 0) return false;
              close(ends[0]);
              return write(ends[1], "x", 1) == -1 && errno == EPIPE;
            }),
            0);
}

}  // namespace
}  // namespace ganymede
