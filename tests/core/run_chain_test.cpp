#include "core/run_chain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "core/error.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

const std::vector<std::string> three_names{"g/weight/a", "g/weight/b", "d/weight/a"};

ChainLink link_at(std::int64_t step) {
  ChainLink link;
  link.step = step;
  link.seed = 7;
  link.samples = 1000 + static_cast<std::uint64_t>(step);
  link.add_figure("loss", 1.0 / static_cast<double>(step + 1));
  const auto digest = static_cast<std::uint64_t>(step) * 0x9e3779b97f4a7c15u;
  link.add_tensors(three_names, std::vector{digest, digest + 1, digest + 2});
  return link;
}

/// A run whose chain goes from a step to another.
struct KeptChain {
  KeptChain(const std::filesystem::path& path, std::int64_t from, std::int64_t to,
            std::function<void(ChainLink&)> change = {})
      : folder(path) {
    add(from, to, change);
  }
  void add(std::int64_t from, std::int64_t to, const std::function<void(ChainLink&)>& change = {}) {
    ChainWriter writer(folder);
    for (std::int64_t step = from; step <= to; ++step) {
      ChainLink link = link_at(step);
      if (change) change(link);
      writer.add(link);
    }
  }
  std::filesystem::path file() const { return folder.path() / "chain.jsonl"; }
  std::string text() const { return read_text_file(file(), 1 << 20); }

  RunFolder folder;
};

void replace_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

TEST(RunChain, IsReadAsItWasWritten) {
  const TemporaryFolder folder;
  const KeptChain run(folder / "a", 0, 3);
  ChainReader reader(run.folder.path());
  for (std::int64_t step = 0; step <= 3; ++step) {
    const auto link = reader.next();
    ASSERT_TRUE(link);
    const ChainLink expected = link_at(step);
    EXPECT_EQ(link->step, step);
    EXPECT_EQ(link->seed, 7u);
    EXPECT_EQ(link->samples, expected.samples);
    EXPECT_EQ(link->figures, expected.figures);
    EXPECT_EQ(link->weights, expected.weights);
    EXPECT_EQ(link->marks, expected.marks);
    EXPECT_EQ(link->tensors, three_names);
  }
  EXPECT_FALSE(reader.next());
}

TEST(RunChain, GoesOnAfterARestartByteForByte) {
  const TemporaryFolder folder;
  const KeptChain whole(folder / "whole", 0, 9);
  KeptChain stopped(folder / "stopped", 0, 7);
  std::ofstream(stopped.file(), std::ios::app) << "{\"chain\":\"torn";
  stopped.folder.cut_back(5);
  stopped.add(6, 9);
  EXPECT_EQ(stopped.text(), whole.text());
}

TEST(RunChain, BeginsAnewWhereNoStepWasKept) {
  const TemporaryFolder folder;
  const KeptChain whole(folder / "whole", 0, 9);
  KeptChain killed(folder / "killed", 0, 2);
  killed.folder.cut_back(0);
  killed.add(0, 9);
  EXPECT_EQ(killed.text(), whole.text());
}

TEST(RunChain, TheSameRunsAreTheSameAsFarAsBothGo) {
  const TemporaryFolder folder;
  const KeptChain a(folder / "a", 0, 9), b(folder / "b", 0, 5);
  const ChainComparison found = compare_chains(folder / "a", folder / "b");
  EXPECT_EQ(found.differs_at, -1) << found.what;
  EXPECT_EQ(found.compared, 6);
  EXPECT_EQ(found.same_until, 5);
  EXPECT_EQ(found.last_of_a, 9);
  EXPECT_EQ(found.last_of_b, 5);
}

TEST(RunChain, StepsThatOneOfThemLacksArePassedOver) {
  const TemporaryFolder folder;
  const KeptChain a(folder / "a", 0, 9), b(folder / "b", 4, 5);
  const ChainComparison found = compare_chains(folder / "a", folder / "b");
  EXPECT_EQ(found.differs_at, -1) << found.what;
  EXPECT_EQ(found.compared, 2);
}

struct Change {
  std::function<void(ChainLink&)> change;
  std::string what;
  std::vector<std::string> tensors;
};

TEST(RunChain, NamesTheFirstDifference) {
  const std::vector<Change> changes{
      {[](ChainLink& link) { link.seed = 8; }, "the noise keys: seed 7, reseed 0 and seed 8, reseed 0", {}},
      {[](ChainLink& link) { link.reseed = 1; }, "the noise keys: seed 7, reseed 0 and seed 7, reseed 1", {}},
      {[](ChainLink& link) { link.samples ^= 1; }, "the batches", {}},
      {[](ChainLink& link) { link.add_figure("loss", std::nextafter(0.2, 1)); },
       "the losses: loss is 0.20000000000000001 and 0.20000000000000004",
       {}},
      {[](ChainLink& link) { link.add_figure("other", 0.5); }, "the losses: other is only in B", {}},
      {[](ChainLink& link) {
         link.marks.clear();
         link.add_tensors(three_names, std::vector<std::uint64_t>{1, 2, 3});
       },
       "the weights: 3 of 3 tensors, g/weight/a the first", three_names},
      {[](ChainLink& link) {
         const std::uint64_t digest = 4 * 0x9e3779b97f4a7c15u;
         link.marks.clear();
         link.add_tensors(three_names, std::vector<std::uint64_t>{digest, digest + 1 + 64, digest + 2});
       },
       "the weights: 1 of 3 tensors, g/weight/b",
       {"g/weight/b"}},
      // Beyond what a mark tells.
      {[](ChainLink& link) {
         const std::uint64_t digest = 4 * 0x9e3779b97f4a7c15u;
         link.marks.clear();
         link.add_tensors(three_names,
                          std::vector<std::uint64_t>{digest, digest + 1, digest + 2 + (1 << 20)});
       },
       "the weights of the d",
       {}},
      {[](ChainLink& link) {
         link.marks.clear();
         link.weights.clear();
         link.add_tensors({"g/weight/a"}, std::vector<std::uint64_t>{1});
       },
       "the networks: their tensors have other names",
       {}}};
  for (const Change& each : changes) {
    SCOPED_TRACE(each.what);
    const TemporaryFolder folder;
    const KeptChain a(folder / "a", 0, 9), b(folder / "b", 0, 9, [&](ChainLink& link) {
      if (link.step >= 4) each.change(link);
    });
    const ChainComparison found = compare_chains(folder / "a", folder / "b");
    EXPECT_EQ(found.differs_at, 4);
    EXPECT_EQ(found.same_until, 3);
    EXPECT_EQ(found.what, each.what);
    EXPECT_EQ(found.tensors, each.tensors);
  }
}

// Of each byte of the file: what is changed is named with its line, or is the last line, torn.
TEST(RunChain, AChangedLineIsNamed) {
  const TemporaryFolder folder;
  const KeptChain a(folder / "a", 0, 3), b(folder / "b", 0, 3);
  const std::string text = a.text();
  std::int64_t found = 0;
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    std::string changed = text;
    changed[at] ^= 1;
    replace_text(a.file(), changed);
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const std::string message =
        expect_error(ExitCode::checkpoint, [&] { compare_chains(folder / "a", folder / "b"); });
    EXPECT_NE(message.find(fmt::format("chain.jsonl, line {},", line)), message.npos)
        << at << ": " << message;
    ++found;
  }
  std::printf("%lld of %zu changed bytes found\n", static_cast<long long>(found), text.size() - 1);
}

TEST(RunChain, AMissingLineIsNamed) {
  const TemporaryFolder folder;
  const KeptChain a(folder / "a", 0, 3), b(folder / "b", 0, 3);
  std::string text = a.text();
  const std::size_t second = text.find('\n', text.find('\n') + 1) + 1;
  replace_text(a.file(), text.erase(second, text.find('\n', second) + 1 - second));
  const std::string message =
      expect_error(ExitCode::checkpoint, [&] { compare_chains(folder / "a", folder / "b"); });
  EXPECT_NE(message.find("line 3, after step 0"), message.npos) << message;
}

TEST(RunChain, ARunWithoutOneIsRefused) {
  const TemporaryFolder folder;
  const KeptChain a(folder / "a", 0, 3);
  const RunFolder without(folder / "b");
  const std::string message =
      expect_error(ExitCode::checkpoint, [&] { compare_chains(folder / "a", folder / "b"); });
  EXPECT_NE(message.find("chain.every"), message.npos) << message;
}

}  // namespace
}  // namespace ganymede
