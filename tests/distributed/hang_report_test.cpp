#include "distributed/hang_report.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ganymede {
namespace {

using namespace std::chrono_literals;

// A rank that waits in collective #1234 of step 41 for 10 s.
RankStatus waiting(int rank) {
  RankStatus status;
  status.rank = rank;
  status.pid = 70 + rank;
  status.step = 41;
  status.round = 42;
  status.sequence = 1234;
  status.in_round = 9;
  status.unmarked = 10000;
  status.waiting = 1;
  std::strcpy(status.host.data(), rank ? "nodeB" : "nodeA");
  std::strcpy(status.doing.data(), "all_reduce gradients");
  return status;
}

// One that has not come there.
RankStatus working(int rank) {
  RankStatus status = waiting(rank);
  status.waiting = 0;
  status.sequence -= 4;
  status.in_round -= 4;
  std::strcpy(status.doing.data(), "discriminator backward");
  return status;
}

SeenRank seen(RankStatus status, std::int64_t unheard = 100, Link link = Link::open) {
  return {status, unheard, link};
}

std::string report(const RankStatus& own, std::vector<SeenRank> others) {
  sort_by_suspicion(others, 10s);
  return hang_report(own, others, 10s);
}

const std::string kSelf =
    "rank 0 on nodeA: no progress for 10.0 s at step 41 in all_reduce gradients (#1234): ";
const std::string kRemedy = ". Remedy: see that host; raise --watchdog.seconds if the work is merely slow.";

TEST(HangReport, NamesASilentRank) {
  EXPECT_EQ(report(waiting(0), {seen(waiting(2)), seen(working(1), 10200)}),
            kSelf +
                "rank 1 on nodeB (pid 71) is late: last seen 10.2 s ago at step 41 working on "
                "\"discriminator backward\" "
                "(#1230)" +
                kRemedy);
}

TEST(HangReport, NamesARankThatWorksForLong) {
  EXPECT_EQ(report(waiting(0), {seen(waiting(2)), seen(working(1))}),
            kSelf +
                "rank 1 on nodeB (pid 71) is late: at step 41 working on \"discriminator backward\" (#1230), "
                "no mark for "
                "10.1 s" +
                kRemedy);
}

TEST(HangReport, NamesARankWhoseLinkIsClosed) {
  EXPECT_EQ(
      report(waiting(0), {seen(waiting(2)), seen(working(1), 3000, Link::closed)}),
      kSelf +
          "rank 1 on nodeB (pid 71) is late: it has left or lost its link, last seen 3.0 s ago at step 41 "
          "working on \"discriminator backward\" (#1230)" +
          kRemedy);
}

TEST(HangReport, NamesARankNeverHeardOf) {
  RankStatus unknown;
  unknown.rank = 1;
  EXPECT_EQ(report(waiting(0), {seen(waiting(2)), seen(unknown, 12000, Link::never)}),
            kSelf + "rank 1 is late: not heard of in all 12.0 s" + kRemedy);
}

TEST(HangReport, SaysThatRankZeroDoesNotAnswer) {
  const std::string line = report(waiting(1), {seen(waiting(0), 9000)});
  EXPECT_NE(
      line.find(": rank 0 on nodeA (pid 70) has not answered for 9.0 s: last seen at step 41 in all_reduce "
                "gradients (#1234)"),
      std::string::npos)
      << line;
}

TEST(HangReport, NamesTheRankItselfWhenItsMainThreadWaitsForNobody) {
  EXPECT_EQ(report(working(1), {seen(waiting(0))}),
            "rank 1 on nodeB: no progress for 10.0 s at step 41 working on \"discriminator backward\" "
            "(#1230): this rank "
            "is late itself (pid 71). Remedy: see what holds it; raise --watchdog.seconds if the work is "
            "merely slow.");
}

TEST(HangReport, NamesTheHindmostOfSeveralThatWork) {
  RankStatus ahead = working(2);
  ++ahead.in_round;
  const std::string line = report(waiting(0), {seen(ahead), seen(working(1)), seen(working(3))});
  EXPECT_NE(line.find(": rank 1 on nodeB (pid 71) is late: "), std::string::npos) << line;
  EXPECT_NE(line.find("; rank 3 on nodeB (pid 73) is late: "), std::string::npos) << line;
  EXPECT_EQ(line.find("rank 2"), std::string::npos) << line;
}

TEST(HangReport, NamesARankThatMarksProgressBehindTheOthers) {
  RankStatus slow = working(1);
  slow.unmarked = 200;
  const std::string line = report(waiting(0), {seen(waiting(2)), seen(slow)});
  EXPECT_NE(
      line.find(
          ": rank 1 on nodeB (pid 71) is late: at step 41 working on \"discriminator backward\" (#1230), "
          "no mark for 0.3 s. "),
      std::string::npos)
      << line;
}

TEST(HangReport, PrefersARankStuckInItsWorkToOneThatWaits) {
  RankStatus root =
      working(1);  // has done its part, as the root of a broadcast may while the others still wait
  root.in_round = 9;
  const std::string line = report(waiting(0), {seen(waiting(2)), seen(root)});
  EXPECT_NE(line.find(": rank 1 on nodeB (pid 71) is late: "), std::string::npos) << line;
}

TEST(HangReport, ComparesPositionsWithinAStep) {
  RankStatus behind = waiting(1);  // waited more often alone, in some earlier step
  behind.sequence = 2000;
  --behind.in_round;
  EXPECT_NE(report(waiting(0), {seen(waiting(2)), seen(behind)}).find(": rank 1 on"), std::string::npos);
  RankStatus earlier = waiting(1);
  --earlier.round;
  earlier.in_round = 1000;
  EXPECT_NE(report(waiting(0), {seen(waiting(2)), seen(earlier)}).find(": rank 1 on"), std::string::npos);
}

TEST(HangReport, AccusesNobodyWhenAllWaitInTheSamePlace) {
  const std::string line = report(waiting(0), {seen(waiting(1)), seen(waiting(2))});
  EXPECT_EQ(
      line,
      kSelf +
          "no rank is late, all heard of have come as far. Remedy: see the network between the hosts; raise "
          "--watchdog.seconds if the work is merely slow.");
}

TEST(HangReport, CutsALongList) {
  std::vector<SeenRank> others;
  for (int rank = 1; rank < 100; ++rank) others.push_back(seen(working(rank), 10000 + rank));
  const std::string line = report(waiting(0), others);
  EXPECT_NE(line.find("rank 99 on"), std::string::npos) << line;
  EXPECT_NE(line.find("; and others. Remedy: see those hosts;"), std::string::npos) << line;
  EXPECT_LT(line.size(), 1000u);
}

TEST(HangReport, StaysOneLineWhateverTheTexts) {
  RankStatus odd = working(1);
  odd.doing.fill('\n');
  odd.host.fill('\x1b');
  const std::string line = report(waiting(0), {seen(odd)});
  EXPECT_EQ(line.find_first_of("\n\x1b"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
