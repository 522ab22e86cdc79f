#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "distributed/watchdog.h"

namespace ganymede {

/// "Ranks" as forked processes that meet in shared memory as real ones meet in MPI: a collective is left once
/// all have come. Hangs are recorded and not ended, so that each rank's report can be looked at.
class FakeRanks {
 public:
  using Time = std::chrono::milliseconds;
  static constexpr int kMost = 4;

  /// What a rank's body gets.
  struct Rank {
    int rank;
    Watchdog& watchdog;
    FakeRanks& ranks;

    /// One training step; `at_work` runs outside the collective, `arriving` inside it but before the rank
    /// takes part.
    void step(
        std::int64_t number, const std::function<void()>& at_work = [] {},
        const std::function<void()>& arriving = [] {}) {
      watchdog.set_step(number);
      watchdog.note("discriminator backward");
      at_work();
      watchdog.enter("all_reduce gradients");
      arriving();
      ranks.meet(number);
      watchdog.leave();
    }
    void mark_fault() { ranks.shared_->fault = now(); }
  };

  /// Starts the processes. Each runs body(), which should go on until over().
  FakeRanks(int size, Time deadline, const std::function<void(Rank&)>& body) : size_(size) {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    shared_ = new (memory) Shared;
    for (int rank = 0; rank < size; ++rank) {
      const pid_t child = fork();
      if (child == 0) run(rank, deadline, body);
      children_.push_back(child);
    }
  }

  ~FakeRanks() {
    for (const pid_t child : children_) kill(child, SIGKILL);
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
    munmap(shared_, sizeof(Shared));
  }
  FakeRanks(const FakeRanks&) = delete;
  FakeRanks& operator=(const FakeRanks&) = delete;

  static std::int64_t now() {
    return std::chrono::duration_cast<Time>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  static void sleep(Time time) { std::this_thread::sleep_for(time); }

  pid_t pid(int rank) const { return children_[static_cast<std::size_t>(rank)]; }
  bool over() const { return shared_->over; }
  void finish() { shared_->over = true; }
  std::string address() const { return shared_->has_address ? shared_->address.data() : ""; }
  std::int64_t fault() const { return shared_->fault; }
  std::int64_t steps() const { return shared_->met / size_; }

  /// Waits until `rank` has reported a hang; false after `patience`.
  bool wait_for_report(int rank, Time patience) const {
    const std::int64_t end = now() + patience.count();
    while (!shared_->reports[static_cast<std::size_t>(rank)].time && now() < end) sleep(Time(5));
    return reported_at(rank) != 0;
  }
  /// When `rank` reported (as now()), 0 if it did not.
  std::int64_t reported_at(int rank) const { return shared_->reports[static_cast<std::size_t>(rank)].time; }
  std::string report(int rank) const {
    return reported_at(rank) ? shared_->reports[static_cast<std::size_t>(rank)].text.data() : "";
  }
  bool anyone_reported() const {
    for (int rank = 0; rank < size_; ++rank) {
      if (reported_at(rank)) return true;
    }
    return false;
  }

 private:
  struct Report {
    std::atomic<std::int64_t> time{0};
    std::array<char, 1024> text{};
  };
  struct Shared {
    std::atomic<bool> has_address{false}, over{false};
    std::array<char, 1024> address{};
    std::atomic<std::int64_t> met{0}, fault{0};
    std::array<Report, kMost> reports;
  };

  void meet(std::int64_t number) {
    ++shared_->met;
    while (shared_->met < (number + 1) * size_ && !over()) sleep(Time(1));
  }

  [[noreturn]] void run(int rank, Time deadline, const std::function<void(Rank&)>& body) {
    {
      Report& mine = shared_->reports[static_cast<std::size_t>(rank)];
      Watchdog watchdog(
          {.rank = rank, .size = size_, .deadline = deadline, .on_hang = [&](const HangNotice& hang) {
             if (mine.time) return;
             std::strncpy(mine.text.data(), hang.report.c_str(), mine.text.size() - 1);
             mine.time = now();
           }});
      if (rank == 0) {
        std::strncpy(shared_->address.data(), watchdog.address().c_str(), shared_->address.size() - 1);
        shared_->has_address = true;
      }
      while (!shared_->has_address) sleep(Time(1));
      watchdog.connect(shared_->address.data());
      watchdog.start();
      Rank self{rank, watchdog, *this};
      body(self);
    }
    _exit(0);
  }

  int size_;
  Shared* shared_;
  std::vector<pid_t> children_;
};

}  // namespace ganymede
