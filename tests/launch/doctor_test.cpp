#include <gtest/gtest.h>

#include <set>

#include "launch/doctor/checks.h"

namespace ganymede {
namespace {

using Texts = std::vector<std::string>;
using Ranks = std::vector<int>;

const Texts hosts{"a", "a", "b", "c"};

TEST(Doctor, NamesRanksByHost) {
  EXPECT_EQ(places_text(Ranks{3}, hosts), "rank 3 on c");
  EXPECT_EQ(places_text(Ranks{0, 1, 3}, hosts), "ranks 0, 1 on a and rank 3 on c");
  EXPECT_EQ(places_text(Ranks{0, 1, 2, 3}, hosts), "every rank");
  EXPECT_EQ(places_text(Ranks{0}, Texts{"a"}), "rank 0 on a");
  EXPECT_EQ(places_text(Ranks{0, 1, 2, 3, 4, 5, 6, 7, 8}, Texts(20, "a")), "9 ranks (0, 1, 2, 3, 4, 5, 6, 7, ...) on a");
}

TEST(Doctor, TellsWhatSeveralRanksSayOnce) {
  EXPECT_EQ(notes_text(Texts{"", "no file", "", "no file"}, hosts), "rank 1 on a and rank 3 on c: no file");
  EXPECT_EQ(notes_text(Texts{"cut", "", "no file", ""}, hosts), "rank 0 on a: cut; rank 2 on b: no file");
  EXPECT_EQ(notes_text(Texts{"cut"}, Texts{"a"}), "cut");
}

TEST(Doctor, TheMedianOfTwoIsTheLower) {
  EXPECT_EQ(lower_median({3}), 3);
  EXPECT_EQ(lower_median({5, 2}), 2);
  EXPECT_EQ(lower_median({9, 1, 5}), 5);
  EXPECT_EQ(lower_median({9, 1, 5, 7}), 5);
}

TEST(Doctor, ASlowRankIsFarAboveTheMedian) {
  EXPECT_EQ(far_above_median({10, 16}, 1.5), Ranks{1});
  EXPECT_EQ(far_above_median({10, 14}, 1.5), Ranks{});
  EXPECT_EQ(far_above_median({30, 10, 11, 40}, 1.5), (Ranks{0, 3}));
  EXPECT_EQ(far_above_median({1}, 1), Ranks{});
}

TEST(Doctor, RoundsOfARingHaveEveryPairOnceAndNoRankTwice) {
  EXPECT_TRUE(ring_rounds(1).empty());
  for (int ranks = 2; ranks <= 9; ++ranks) {
    std::set<std::pair<int, int>> pairs;
    const auto rounds = ring_rounds(ranks);
    EXPECT_LE(rounds.size(), 3u);
    for (const auto& round : rounds) {
      std::set<int> busy;
      for (const auto& [from, to] : round) {
        EXPECT_TRUE(busy.insert(from).second && busy.insert(to).second) << ranks;
        EXPECT_EQ(to, (from + 1) % ranks);
        EXPECT_TRUE(pairs.emplace(from, to).second);
      }
    }
    EXPECT_EQ(std::ssize(pairs), ranks == 2 ? 1 : ranks);
  }
}

TEST(Doctor, RanksThatShareTooFewCoresAreTold) {
  EXPECT_EQ(crowding_text(Texts{"2 a 0,1,", "2 a 0,1,"}), "");
  EXPECT_EQ(crowding_text(Texts{"2 a 0,1,", "2 a 0,1,", "2 a 0,1,", "1 b 0,"}), "3 ranks share 2 cores of a");
  EXPECT_EQ(crowding_text(Texts{"1 a 0,", "1 a 1,"}), "");
}

TEST(Doctor, TasksThatStandAloneAreToldOfPmix) {
  EXPECT_EQ(srun_complaint(4, "4"), "");
  EXPECT_EQ(srun_complaint(1, nullptr), "");
  EXPECT_EQ(srun_complaint(1, "1"), "");
  EXPECT_NE(srun_complaint(1, "4").find("--mpi=pmix"), std::string::npos);
}

TEST(Doctor, RanksOnOneGpuAreFound) {
  const std::vector<RankGpu> gpus{{"a", "0"}, {"a", "1"}, {"b", "0"}, {"a", "0"}, {"b", ""}, {"b", ""}};
  EXPECT_EQ(sharing_ranks(gpus), (std::vector<Ranks>{{0, 3}}));
}

TEST(Doctor, TheFirstFailureGivesTheCode) {
  Tally tally;
  tally.add(all_well("fine"));
  tally.add(warning("hm"));
  EXPECT_EQ(tally.code(), ExitCode::done);
  EXPECT_EQ(tally.complaint(), "");
  tally.add(failure(ExitCode::storage, "full"));
  tally.add(failure(ExitCode::dataset, "cut"));
  EXPECT_EQ(tally.code(), ExitCode::storage);
  EXPECT_EQ(tally.complaint().find("2 of 4 checks failed"), 0u);
}

TEST(Doctor, ItsTableHasEachNameOnce) {
  std::set<std::string> names;
  for (const Check& check : doctor_checks()) EXPECT_TRUE(names.insert(check.name).second) << check.name;
}

}  // namespace
}  // namespace ganymede
