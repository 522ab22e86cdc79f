#include "distributed/watchdog.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <thread>

#include "tests/distributed/fake_ranks.h"

namespace ganymede {
namespace {

using namespace std::chrono_literals;
using Rank = FakeRanks::Rank;
using Time = std::chrono::milliseconds;
constexpr Time kDeadline = 1s;
constexpr std::int64_t kFaultyStep = 20;

void train(Rank& rank, Time work = 10ms) {
  for (std::int64_t step = 0; !rank.ranks.over(); ++step) {
    rank.step(step, [&] { FakeRanks::sleep(work); });
  }
}

// What goes wrong, and where in the step.
struct Fault {
  const char* name;
  std::function<void()> act;
  bool in_collective;
  bool silent;  // the watchdog thread is stopped or gone, too
};

const std::array<Fault, 5> kFaults = {{
    {"StoppedAtWork", [] { raise(SIGSTOP); }, false, true},
    {"StoppedInTheCollective", [] { raise(SIGSTOP); }, true, true},
    {"Sleeping", [] { FakeRanks::sleep(1h); }, false, false},
    {"Spinning",
     [] {
       for (std::atomic<int> i = 0;;) ++i;
     },
     false, false},
    {"LeftEarly", [] { _exit(0); }, false, true},
}};

class Hang : public testing::TestWithParam<std::tuple<std::size_t, int>> {};

TEST_P(Hang, IsReportedByTheSurvivorsWhoNameTheLateRank) {
  const Fault& fault = kFaults[std::get<0>(GetParam())];
  const int late = std::get<1>(GetParam());
  FakeRanks ranks(3, kDeadline, [&](Rank& self) {
    for (std::int64_t step = 0; !self.ranks.over(); ++step) {
      const auto strike = [&, step](bool here) {
        FakeRanks::sleep(5ms);
        if (self.rank != late || step != kFaultyStep || !here) return;
        FakeRanks::sleep(120ms);  // the others wait by now, and have heard so
        self.mark_fault();
        fault.act();
      };
      self.step(
          step, [&] { strike(!fault.in_collective); }, [&] { strike(fault.in_collective); });
    }
  });
  for (int rank = 0; rank < 3; ++rank) {
    if (rank == late && fault.silent) continue;
    ASSERT_TRUE(ranks.wait_for_report(rank, 5s)) << "no report from rank " << rank;
    const std::string report = ranks.report(rank);
    SCOPED_TRACE(report);
    const std::int64_t delay = ranks.reported_at(rank) - ranks.fault();
    EXPECT_GE(delay, kDeadline.count() - 200);
    EXPECT_LE(delay, kDeadline.count() + 1000);
    EXPECT_EQ(report.find('\n'), std::string::npos);
    if (rank == late) {
      EXPECT_NE(report.find("working on \"discriminator backward\" (#20): this rank is late itself"),
                std::string::npos);
      continue;
    }
    EXPECT_NE(report.find("at step 20 in all_reduce gradients (#21): "), std::string::npos);
    const std::size_t blame = report.find("(#21): ") + 7;
    EXPECT_TRUE(report.substr(blame).starts_with(
        fmt::format("rank {} on {} (pid {})", late, host_name(), ranks.pid(late))));
    for (int other = 0; other < 3; ++other) {
      if (other == late) continue;
      EXPECT_EQ(report.find(fmt::format("rank {} ", other), blame), std::string::npos);
    }
    if (!fault.in_collective) {
      EXPECT_NE(report.find("at step 20 working on \"discriminator backward\" (#20)"), std::string::npos);
    }
    if (late == 0 && fault.silent && std::string(fault.name) != "LeftEarly") {
      EXPECT_NE(report.find(" has not answered for "), std::string::npos);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Watchdog, Hang, testing::Combine(testing::Range<std::size_t>(0, kFaults.size()), testing::Values(0, 1)),
    [](const auto& test) {
      return fmt::format("{}_rank{}", kFaults[std::get<0>(test.param)].name, std::get<1>(test.param));
    });

TEST(Watchdog, BearsMarksThatComeLate) {
  FakeRanks ranks(3, 2s, [](Rank& self) { train(self, self.rank == 1 ? 1600ms : 5ms); });
  FakeRanks::sleep(5500ms);
  EXPECT_FALSE(ranks.anyone_reported()) << ranks.report(0) << ranks.report(1) << ranks.report(2);
  EXPECT_GE(ranks.steps(), 2);
}

TEST(Watchdog, BlamesNobodyAfterASuspension) {
  // Each rank has waited or worked for 0.7 of the deadline when all are stopped for twice the deadline.
  FakeRanks ranks(3, kDeadline, [](Rank& self) {
    self.step(0);
    self.step(1, [&] { FakeRanks::sleep(self.rank == 1 ? 900ms : 5ms); });
    train(self);
  });
  FakeRanks::sleep(700ms);
  for (int rank = 0; rank < 3; ++rank) kill(ranks.pid(rank), SIGSTOP);
  FakeRanks::sleep(2 * kDeadline);
  for (int rank = 0; rank < 3; ++rank) kill(ranks.pid(rank), SIGCONT);
  FakeRanks::sleep(1500ms);
  EXPECT_FALSE(ranks.anyone_reported()) << ranks.report(0) << ranks.report(1) << ranks.report(2);
}

TEST(Watchdog, LeavesTimeForAMarkAfterASuspension) {
  FakeRanks ranks(1, 2s, [](Rank& self) {
    self.watchdog.note("near its deadline");
    FakeRanks::sleep(1900ms);
    raise(SIGSTOP);
    FakeRanks::sleep(350ms);
    train(self);
  });
  FakeRanks::sleep(3s);
  kill(ranks.pid(0), SIGCONT);
  FakeRanks::sleep(800ms);
  EXPECT_FALSE(ranks.anyone_reported()) << ranks.report(0);
  EXPECT_GT(ranks.steps(), 0);
}

TEST(Watchdog, LetsOneRankBeStoppedWhileNobodyWaitsForIt) {
  FakeRanks ranks(3, kDeadline, [](Rank& self) {
    while (!self.ranks.over()) {
      self.watchdog.note("own work");
      FakeRanks::sleep(10ms);
    }
  });
  FakeRanks::sleep(200ms);
  kill(ranks.pid(1), SIGSTOP);
  FakeRanks::sleep(2 * kDeadline);
  kill(ranks.pid(1), SIGCONT);
  FakeRanks::sleep(500ms);
  EXPECT_FALSE(ranks.anyone_reported()) << ranks.report(0) << ranks.report(1) << ranks.report(2);
}

TEST(Watchdog, StillSeesAHangAfterASuspension) {
  FakeRanks ranks(2, kDeadline, [](Rank& self) {
    self.step(0);
    if (self.rank == 1) {
      raise(SIGSTOP);
      self.mark_fault();
      FakeRanks::sleep(1h);
    }
    train(self);
  });
  FakeRanks::sleep(500ms);
  kill(ranks.pid(1), SIGCONT);
  ASSERT_TRUE(ranks.wait_for_report(0, 5s));
  EXPECT_NE(ranks.report(0).find("): rank 1 on "), std::string::npos) << ranks.report(0);
}

TEST(Watchdog, IgnoresGarbageOnItsPort) {
  FakeRanks ranks(3, kDeadline, [](Rank& self) { train(self); });
  while (ranks.address().empty()) FakeRanks::sleep(1ms);
  const ChannelAddress address = ChannelAddress::parse(ranks.address());
  std::vector<Connection> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(Connection::begin("127.0.0.1", address.port));
    ASSERT_TRUE(strangers.back().is_open());
    FakeRanks::sleep(2ms);
    const std::string garbage(static_cast<std::size_t>(i * 37), static_cast<char>(i));
    strangers.back().send(std::as_bytes(std::span(garbage)));
  }
  const std::int64_t before = ranks.steps();
  FakeRanks::sleep(1300ms);
  EXPECT_GT(ranks.steps(), before + 20);
  EXPECT_FALSE(ranks.anyone_reported()) << ranks.report(0);
  // The channel works on: blame is still right.
  kill(ranks.pid(2), SIGSTOP);
  ASSERT_TRUE(ranks.wait_for_report(0, 3s) && ranks.wait_for_report(1, 1s));
  EXPECT_NE(ranks.report(0).find("): rank 2 on "), std::string::npos) << ranks.report(0);
  EXPECT_NE(ranks.report(1).find("): rank 2 on "), std::string::npos) << ranks.report(1);
}

TEST(Watchdog, WatchesItsOwnMainThreadAtSizeOne) {
  std::mutex mutex;
  std::vector<std::string> reports;
  Watchdog watchdog({.deadline = 300ms, .on_hang = [&](const HangNotice& hang) {
                       const std::lock_guard lock(mutex);
                       EXPECT_FALSE(hang.is_waiting);
                       reports.push_back(hang.report);
                     }});
  EXPECT_EQ(watchdog.address(), "");
  watchdog.connect("");
  watchdog.start();
  for (int i = 0; i < 30; ++i) {
    watchdog.note("loading a batch");
    FakeRanks::sleep(20ms);
  }
  {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(reports.empty());
  }
  FakeRanks::sleep(900ms);  // one report a hang, however long
  const std::lock_guard lock(mutex);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(
      reports[0].find("before the first step working on \"loading a batch\" (#0): this rank is late itself"),
      std::string::npos)
      << reports[0];
}

TEST(Watchdog, TellsWhoWaitsFromWhoIsLate) {
  std::atomic<int> waiting{-1};
  Watchdog watchdog({.deadline = 200ms, .on_hang = [&](const HangNotice& hang) { waiting = hang.is_waiting; }});
  watchdog.start();
  watchdog.enter("all_reduce");
  for (int i = 0; i < 400 && waiting < 0; ++i) FakeRanks::sleep(10ms);
  EXPECT_EQ(waiting, 1);
}

TEST(OutliveSigterm, LivesOnAndTellsOfIt) {
  EXPECT_FALSE(outlive_sigterm(10ms));
  std::thread killer([] {
    FakeRanks::sleep(100ms);
    kill(getpid(), SIGTERM);
  });
  EXPECT_TRUE(outlive_sigterm(1s));
  killer.join();
}

TEST(Watchdog, IsOffWithoutADeadline) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                         std::filesystem::directory_iterator());
  };
  const auto before = threads();
  Watchdog watchdog({.size = 2, .on_hang = [](const HangNotice& hang) { ADD_FAILURE() << hang.report; }});
  EXPECT_EQ(watchdog.address(), "");
  watchdog.connect("");
  watchdog.start();
  watchdog.enter("all_reduce");
  EXPECT_EQ(threads(), before);
}

TEST(Watchdog, EndsQuickly) {
  for (const Time deadline : {Time(1s), Time(300s)}) {
    auto watchdog = std::make_unique<Watchdog>(
        WatchdogOptions{.size = 2, .deadline = deadline, .on_hang = [](const HangNotice&) {}});
    watchdog->start();
    FakeRanks::sleep(30ms);
    const std::int64_t begin = FakeRanks::now();
    watchdog.reset();
    EXPECT_LT(FakeRanks::now() - begin, 100);
  }
}

TEST(Watchdog, MarksCostLessThanAMicrosecond) {
  Watchdog watchdog({.deadline = 10s, .on_hang = [](const HangNotice&) {}});
  watchdog.start();
  constexpr int kRounds = 100000;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) {
    watchdog.set_step(i);
    watchdog.note("discriminator backward");
    watchdog.enter("all_reduce gradients bucket 3");
    watchdog.leave();
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  RecordProperty("nanoseconds", fmt::format("{:.1f}", time.count() / (4 * kRounds)));
  EXPECT_LT(time.count() / (4 * kRounds), 1000);
}

// Runs in a child, for it ends the process. Returns the exit code and how long it took.
std::pair<int, std::int64_t> ended_by(const std::function<void()>& abort_job) {
  const std::int64_t begin = FakeRanks::now();
  const pid_t child = fork();
  if (child == 0) end_process(86, abort_job, 400ms);
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, FakeRanks::now() - begin};
}

TEST(EndProcess, LeavesEvenIfAbortingBlocks) {
  const auto [code, time] = ended_by([] { FakeRanks::sleep(1h); });
  EXPECT_EQ(code, 86);
  EXPECT_GE(time, 400);
  EXPECT_LT(time, 1400);
}

TEST(EndProcess, LetsAbortingEndIt) {
  const auto [code, time] = ended_by([] { _exit(7); });
  EXPECT_EQ(code, 7);
  EXPECT_LT(time, 400);
}

}  // namespace
}  // namespace ganymede
