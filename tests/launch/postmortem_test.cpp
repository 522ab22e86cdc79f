#include "launch/postmortem.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

void train_until(BlackBox& box, std::int64_t step) {
  for (std::int64_t i = 1; i <= step; ++i) {
    box.set_step(i);
    box.note("training");
    if (i == step) return;
    box.enter("all_reduce gradients", 2048);
    box.leave();
  }
}

void wait_at(BlackBox& box, std::int64_t step) {
  train_until(box, step);
  box.enter("all_reduce gradients", 2048);
}

/// Ranks that each write a black box and are gone.
class Postmortem : public testing::Test {
 protected:
  using Act = std::function<void(int rank, BlackBox&)>;
  /// All of `live`, then a deadline without anything, then all of `end`.
  void run(const Act& live, const Act& end = [](int, BlackBox&) {}) {
    std::vector<std::unique_ptr<BlackBox>> boxes;
    for (int rank = 0; rank < size; ++rank)
      boxes.push_back(std::make_unique<BlackBox>(
          folder_ / BlackBox::file_name(rank),
          BlackBox::Owner{.rank = rank, .size = size, .deadline = deadline}));
    for (int rank = 0; rank < size; ++rank) live(rank, *boxes[static_cast<std::size_t>(rank)]);
    std::this_thread::sleep_for(deadline);
    for (int rank = 0; rank < size; ++rank) end(rank, *boxes[static_cast<std::size_t>(rank)]);
  }
  BoxesOfRun read() const { return read_black_boxes(folder_.path()); }
  std::string told() const {
    const std::string text = verdict(read().ranks);
    EXPECT_EQ(text.find('\n'), text.npos);
    return text;
  }

  static constexpr int size = 3;
  static constexpr std::chrono::milliseconds deadline{200};
  TemporaryFolder folder_;
};

TEST_F(Postmortem, TellsWhetherAllRanksWereAskedToEnd) {
  const auto asked = [this](const Act& end) {
    run([](int, BlackBox& box) { wait_at(box, 7); }, end);
    return was_asked_to_end(read());
  };
  EXPECT_TRUE(asked([](int rank, BlackBox& box) { box.signalled(rank == 0 ? SIGINT : SIGTERM); }));
  EXPECT_FALSE(asked([](int rank, BlackBox& box) {
    if (rank != 1) box.signalled(SIGTERM);
  }));
  EXPECT_FALSE(asked([](int rank, BlackBox& box) { box.signalled(rank == 1 ? SIGSEGV : SIGTERM); }));
  EXPECT_FALSE(asked([](int, BlackBox& box) {
    box.ended(1, "a bug");
    box.signalled(SIGTERM);
  }));
}

TEST_F(Postmortem, LateIsWhoNeverEnteredWhatTheOthersWaitIn) {
  run([](int rank, BlackBox& box) { rank == 1 ? train_until(box, 7) : wait_at(box, 7); },
      [](int rank, BlackBox& box) { rank == 1 ? box.signalled(SIGTERM) : box.ended(86, "no progress"); });
  const std::string text = told();
  EXPECT_EQ(text.find("A hang, ended by the watchdog after 0.2 s: late is rank 1 on "), 0u) << text;
  EXPECT_NE(text.find("at step 7 working on \"training\""), text.npos) << text;
  EXPECT_NE(text.find("never entered all_reduce gradients (#7, 2 KiB), in which 2 ranks waited"), text.npos) << text;
  const auto ranks = read().ranks;
  const std::string waiting = rank_line(ranks[0], ranks), late = rank_line(ranks[1], ranks);
  EXPECT_NE(waiting.find("at step 7 waiting in all_reduce gradients (#7, 2 KiB) since +0."), waiting.npos) << waiting;
  EXPECT_NE(waiting.find("; ended with 86 at +0."), waiting.npos) << waiting;
  EXPECT_NE(late.find("; ended by signal 15 (Terminated)"), late.npos) << late;
}

TEST_F(Postmortem, AmongRanksThatHaveComeEquallyFarLateIsWhoHasNoEnd) {
  run([](int, BlackBox& box) { wait_at(box, 7); },
      [](int rank, BlackBox& box) {
        if (rank != 2) box.ended(86, "no progress");
      });
  const std::string text = told();
  EXPECT_NE(text.find("late is rank 2 on "), text.npos) << text;
  EXPECT_NE(text.find("no end: killed"), text.npos) << text;
}

TEST_F(Postmortem, WhatAStoppedRankDoesAfterTheHangDoesNotCount) {
  run([](int rank, BlackBox& box) { wait_at(box, rank == 2 ? 6 : 7); },
      [](int rank, BlackBox& box) {
        if (rank != 2) return box.ended(86, "no progress");
        box.leave();
        box.set_step(7);
        box.enter("all_reduce gradients", 2048);
        box.signalled(SIGTERM);
      });
  EXPECT_NE(told().find("late is rank 2 on "), std::string::npos) << told();
  EXPECT_NE(told().find("at step 6 waiting"), std::string::npos) << told();
}

TEST_F(Postmortem, HostsClocksMayDiffer) {
  run([](int rank, BlackBox& box) { wait_at(box, rank == 2 ? 6 : 7); },
      [](int rank, BlackBox& box) {
        if (rank != 2) return box.ended(86, "no progress");
        box.leave();
        box.enter("all_reduce gradients", 2048);
        box.signalled(SIGTERM);
      });
  for (const double share : {-0.4, 0.4}) {
    std::vector<BoxContent> ranks = read().ranks;
    ranks[2].wall_start += static_cast<std::int64_t>(share * 1e9 * std::chrono::duration<double>(deadline).count());
    EXPECT_NE(verdict(ranks).find("late is rank 2 on "), std::string::npos) << verdict(ranks);
    EXPECT_NE(verdict(ranks).find("at step 6 waiting"), std::string::npos) << verdict(ranks);
  }
}

TEST_F(Postmortem, ALateRankMayHaveWorkedUntilTheHang) {
  run([](int rank, BlackBox& box) { rank == 2 ? train_until(box, 7) : wait_at(box, 7); },
      [](int rank, BlackBox& box) {
        if (rank == 2) box.note("loading a batch");
        if (rank != 2) box.ended(86, "no progress");
      });
  BoxesOfRun boxes = read();
  for (int rank : {0, 1}) boxes.ranks[static_cast<std::size_t>(rank)].ending->time += 0.1;
  EXPECT_NE(verdict(boxes.ranks).find("late is rank 2 on "), std::string::npos) << verdict(boxes.ranks);
  EXPECT_NE(verdict(boxes.ranks).find("working on \"loading a batch\""), std::string::npos) << verdict(boxes.ranks);
}

TEST_F(Postmortem, AHangInWhichAllHaveComeAsFarIsNobodys) {
  run([](int, BlackBox& box) { wait_at(box, 7); }, [](int, BlackBox& box) { box.ended(86, "see the network"); });
  EXPECT_EQ(told(), "A hang in which all ranks have come as far: see the network");
}

TEST_F(Postmortem, NamesWhoWasKilled) {
  run([](int rank, BlackBox& box) { rank == 1 ? train_until(box, 9) : wait_at(box, 9); },
      [](int rank, BlackBox& box) {
        if (rank != 1) box.signalled(SIGTERM);
      });
  const std::string text = told();
  EXPECT_EQ(text.find("Killed (SIGKILL, for want of memory say), or lost with its host: rank 1 on "), 0u) << text;
  EXPECT_NE(text.find("2 ranks ended after that"), text.npos) << text;
}

TEST_F(Postmortem, NamesWhoFailedFirst) {
  run([](int, BlackBox& box) { train_until(box, 3); },
      [](int rank, BlackBox& box) {
        if (rank == 0) box.signalled(SIGTERM);
        if (rank == 1) box.ended(7, "out of memory");
        if (rank == 2) box.signalled(SIGSEGV);
      });
  EXPECT_EQ(told().find("rank 1 on "), 0u) << told();
  EXPECT_NE(told().find(" ended with 7: out of memory"), std::string::npos) << told();
  std::filesystem::remove(folder_ / BlackBox::file_name(1));
  EXPECT_NE(told().find(" was ended by signal 11 (Segmentation fault), at step 3"), std::string::npos) << told();
}

TEST_F(Postmortem, TellsAnEndInOrder) {
  const Act train = [](int, BlackBox& box) { train_until(box, 5); };
  run(train, [](int, BlackBox& box) {
    box.ended(0, "");
    box.enter("MPI_Finalize", 0);
  });
  EXPECT_EQ(told(), "All is well: 3 ranks, done at step 5");
  run(train, [](int, BlackBox& box) {
    box.signalled(SIGUSR1);
    box.ended(75, "");
  });
  EXPECT_EQ(told(), "All is well: 3 ranks, stopped on request after saving at step 5");
  run(train, [](int, BlackBox& box) { box.ended(8, "training diverged"); });
  EXPECT_EQ(told(), "All ranks ended with 8: training diverged");
  run(train, [](int, BlackBox& box) { box.signalled(SIGTERM); });
  EXPECT_EQ(told().find("Ended from outside by signal 15 (Terminated), rank 0 on "), 0u) << told();
}

TEST_F(Postmortem, ARunUnderWayIsKnown) {
  BlackBox box(folder_ / BlackBox::file_name(0), {});
  wait_at(box, 4);
  EXPECT_EQ(told(), "The run is under way, at step 4");
}

TEST_F(Postmortem, TellsOfEachFileThatIsMissingOrDamaged) {
  run([](int, BlackBox& box) { box.ended(0, ""); });
  std::ofstream(folder_ / BlackBox::file_name(1)) << "no box";
  std::filesystem::remove(folder_ / BlackBox::file_name(2));
  const BoxesOfRun boxes = read();
  EXPECT_EQ(boxes.ranks.size(), 1u);
  ASSERT_EQ(boxes.damages.size(), 2u);
  EXPECT_NE(boxes.damages[0].find("rank-0001.ring is no black box"), std::string::npos) << boxes.damages[0];
  EXPECT_NE(boxes.damages[1].find("rank-0002.ring is missing"), std::string::npos) << boxes.damages[1];
  expect_error(ExitCode::checkpoint, [&] { read_black_boxes(folder_ / "nothing"); });
}

TEST_F(Postmortem, EventsAreLinesThatAPersonReads) {
  run([](int, BlackBox& box) {
    wait_at(box, 2);
    box.saved(1);
  });
  const auto ranks = read().ranks;
  std::string text;
  for (const BoxEvent& event : ranks[0].events) text += event_line(event, ranks[0], ranks) + "\n";
  for (const char* words : {"  begins\n", "  training\n", "  waits in all_reduce gradients (#2, 2 KiB)\n",
                            "  goes on\n", "  has saved step 1\n"})
    EXPECT_NE(text.find(words), text.npos) << words << text;
}

}  // namespace
}  // namespace ganymede
