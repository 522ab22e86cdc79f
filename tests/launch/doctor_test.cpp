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

/// How many different pairs the rounds have; each player at most once in a round, and no pair twice.
std::int64_t pairs_in(const std::vector<LinkRound>& rounds) {
  std::set<std::pair<int, int>> pairs;
  for (const LinkRound& round : rounds) {
    std::set<int> busy;
    for (const auto& [from, to] : round) {
      EXPECT_LT(from, to);
      EXPECT_TRUE(busy.insert(from).second && busy.insert(to).second) << from << " " << to;
      EXPECT_TRUE(pairs.emplace(from, to).second) << from << " " << to;
    }
  }
  return std::ssize(pairs);
}

TEST(Doctor, ATournamentHasEveryPairOnceAndNobodyTwiceInARound) {
  EXPECT_TRUE(tournament_rounds(1, 100).empty());
  for (int players = 2; players <= 33; ++players) {
    const auto rounds = tournament_rounds(players, 100);
    EXPECT_EQ(std::ssize(rounds), players - 1 + players % 2);
    EXPECT_EQ(pairs_in(rounds), players * (players - 1) / 2) << players;
  }
  // Of too many rounds the first: everyone meets another one in each.
  EXPECT_EQ(tournament_rounds(1000, 31).size(), 31u);
  EXPECT_EQ(pairs_in(tournament_rounds(1000, 31)), 31 * 500);
}

TEST(Doctor, PairsOfRanksOfAHostAndOfHostsAreMeasured) {
  const LinkPlan four = plan_links(Texts(4, "a"));
  EXPECT_EQ(pairs_in(four.rounds), 6);
  EXPECT_EQ(four.rounds.size(), 3u);
  EXPECT_EQ(four.pairs_within_hosts, 6);
  EXPECT_EQ(four.pairs_of_hosts, 0);

  // Ranks 0 and 1 of a, 2 and 4 of b, 3 of c: first within hosts, all at once, then between their first ranks.
  const LinkPlan mixed = plan_links(Texts{"a", "a", "b", "c", "b"});
  ASSERT_EQ(mixed.rounds.size(), 4u);
  EXPECT_EQ(mixed.rounds.front(), (LinkRound{{0, 1}, {2, 4}}));
  EXPECT_EQ(pairs_in(mixed.rounds), 5);
  EXPECT_EQ(mixed.pairs_within_hosts, 2);
  EXPECT_EQ(mixed.pairs_of_hosts, 3);

  Texts many;
  for (int rank = 0; rank < 6400; ++rank) many.push_back(std::to_string(rank / 64));
  const LinkPlan large = plan_links(many);
  EXPECT_EQ(large.rounds.size(), 7u + 31u);
  EXPECT_EQ(pairs_in(large.rounds), 100 * 7 * 32 + 31 * 50);
  EXPECT_EQ(large.pairs_within_hosts, 100 * 64 * 63 / 2);
  EXPECT_EQ(large.pairs_of_hosts, 100 * 99 / 2);
}

/// Of all pairs of four hosts, of which one link is slower than the others.
Verdict judged_with(std::pair<int, int> slow, double rate) {
  const Texts four{"a", "b", "c", "d"};
  const LinkPlan plan = plan_links(four);
  std::vector<LinkFigure> figures;
  for (const LinkRound& round : plan.rounds)
    for (const auto& pair : round) figures.push_back({pair.first, pair.second, {1e-5, pair == slow ? rate : 9e9}});
  return judge_links(figures, plan, four);
}

TEST(Doctor, ASlowPairIsNamedWhoeverItIs) {
  for (const auto& slow : {std::pair{0, 2}, {1, 3}, {0, 1}}) {
    const Verdict verdict = judged_with(slow, 1e9);
    EXPECT_EQ(verdict.state, Verdict::State::warning);
    const std::string pair = fmt::format("{} to {}", places_text(Ranks{slow.first}, Texts{"a", "b", "c", "d"}),
                                         places_text(Ranks{slow.second}, Texts{"a", "b", "c", "d"}));
    EXPECT_NE(verdict.text.find(fmt::format("between hosts: 6 of 6 pairs, slowest 1 GB/s ({}), median 9 GB/s, 10 us; "
                                            "slower than a third of the median: {}: 1 GB/s: look at the cable",
                                            pair, pair)),
              std::string::npos)
        << verdict.text;
  }
  EXPECT_EQ(judged_with({0, 2}, 4e9).state, Verdict::State::ok);
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
