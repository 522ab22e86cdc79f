#include "distributed/black_box.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/host_name.h"
#include "core/signals.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using Kind = BoxEvent::Kind;

// What a child process does with a box, until it kills itself.
void in_killed_child(const std::function<void()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    act();
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

void write_at(const std::filesystem::path& path, std::int64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class BlackBoxFile : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / BlackBox::file_name(3);
};

TEST_F(BlackBoxFile, SurvivesSigkill) {
  in_killed_child([&] {
    BlackBox box(path_, {.rank = 3, .size = 4, .deadline = std::chrono::seconds(10)});
    box.note("training");
    box.set_step(41);
    box.enter("all_reduce gradients", 1024);
    box.leave();
    box.saved(40);
    box.enter("all_reduce control", 8);
  });
  EXPECT_EQ(path_.filename(), "rank-0003.ring");
  const BoxContent content = read_black_box(path_);
  EXPECT_EQ(content.rank, 3);
  EXPECT_EQ(content.size, 4);
  EXPECT_EQ(content.host, host_name());
  EXPECT_EQ(content.deadline, 10'000);
  EXPECT_FALSE(content.runs);
  EXPECT_FALSE(content.ending);
  EXPECT_EQ(content.torn, 0);
  ASSERT_EQ(content.events.size(), 6u);
  const std::vector<Kind> kinds{Kind::note, Kind::step, Kind::enter, Kind::leave, Kind::saved, Kind::enter};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(content.events[i].kind, kinds[i]) << i;
    EXPECT_EQ(content.events[i].number, i + 1);
  }
  const BoxEvent& first = content.events[0];
  EXPECT_EQ(first.step, -1);
  const BoxEvent& last = content.events[5];
  EXPECT_EQ(last.name(), "all_reduce control");
  EXPECT_EQ(last.value, 8);
  EXPECT_EQ(last.step, 41);
  EXPECT_EQ(last.sequence, 2u);
  EXPECT_EQ(last.round, 1u);
  EXPECT_EQ(last.in_round, 2u);
  EXPECT_GE(last.time, first.time);
}

TEST_F(BlackBoxFile, KeepsTheLastEventsInOrder) {
  BlackBox box(path_, {}, 8);
  for (int step = 1; step <= 21; ++step) box.set_step(step);
  const BoxContent content = read_black_box(path_);
  EXPECT_TRUE(content.runs) << "this process lives";
  ASSERT_EQ(content.events.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(content.events[i].step, static_cast<std::int64_t>(14 + i));
}

TEST_F(BlackBoxFile, KeepsHowItEnded) {
  {
    BlackBox box(path_, {});
    box.ended(86, std::string(3000, 'x'));
    box.ended(0, "the first counts");
  }
  const BoxContent content = read_black_box(path_);
  EXPECT_FALSE(content.runs);
  ASSERT_TRUE(content.ending);
  EXPECT_EQ(content.ending->code, 86);
  EXPECT_EQ(content.ending->words, std::string(999, 'x'));
  EXPECT_EQ(content.events.back().kind, Kind::ended);
}

TEST_F(BlackBoxFile, ANoteThatIsRepeatedAtOnceFloodsNothing) {
  BlackBox box(path_, {});
  for (int i = 0; i < 1000; ++i) box.note("writing a checkpoint");
  box.note("training");
  EXPECT_LE(read_black_box(path_).events.size(), 4u);
}

TEST_F(BlackBoxFile, ATornRecordIsKnownAndTheOthersAreRead) {
  { BlackBox box(path_, {}, 8); for (int step = 1; step <= 8; ++step) box.set_step(step); }
  const BoxContent whole = read_black_box(path_);
  // Half of the newest record, as a kill in the midst of its writing would leave it; it lies in slot 0.
  write_at(path_, 4096 + 8, std::string(50, '\0'));
  const BoxContent content = read_black_box(path_);
  EXPECT_EQ(content.torn, 1);
  EXPECT_FALSE(content.is_damaged());
  ASSERT_EQ(content.events.size(), 7u);
  EXPECT_EQ(content.events.back().number, 7u);
  // Any one bit of it.
  for (const std::int64_t offset : {0, 9, 40, 70, 127}) {
    std::filesystem::remove(path_);
    { BlackBox box(path_, {}, 1); box.set_step(1); }
    EXPECT_EQ(read_black_box(path_).torn, 0);
    write_at(path_, 4096 + offset, "\x55");
    EXPECT_EQ(read_black_box(path_).torn, 1) << offset;
  }
  EXPECT_EQ(whole.torn, 0);
}

TEST_F(BlackBoxFile, WhatIsNoneIsAnErrorOfOneLine) {
  expect_error(ExitCode::checkpoint, [&] { read_black_box(path_); });
  std::ofstream(path_) << "text";
  const std::string message = expect_error(ExitCode::checkpoint, [&] { read_black_box(path_); });
  EXPECT_NE(message.find("rank-0003.ring"), message.npos);
  std::filesystem::remove(path_);
  { BlackBox box(path_, {}); }
  write_at(path_, 20, "\x7f");
  expect_error(ExitCode::checkpoint, [&] { read_black_box(path_); });
}

TEST_F(BlackBoxFile, OfAFileThatWasCutTheRestIsRead) {
  { BlackBox box(path_, {}, 64); for (int step = 1; step <= 40; ++step) box.set_step(step); }
  std::filesystem::resize_file(path_, 4096 + 20 * sizeof(BoxEvent) + 7);
  const BoxContent content = read_black_box(path_);
  EXPECT_TRUE(content.is_damaged());
  EXPECT_EQ(content.events.size(), 19u);
}

BlackBox* box_of_child = nullptr;

TEST_F(BlackBoxFile, AFileThatIsCutUnderARunCostsEventsAlone) {
  in_killed_child([&] {
    BlackBox box(path_, {}, 8);
    box_of_child = &box;
    mend_bus_errors([](const void* address) { return box_of_child->detach(address); });
    box.set_step(1);
    std::filesystem::resize_file(path_, 0);
    for (int step = 2; step < 100; ++step) box.set_step(step);
    box.ended(0, "");
  });
  expect_error(ExitCode::checkpoint, [&] { read_black_box(path_); });
}

TEST_F(BlackBoxFile, AFolderThatCannotBeWrittenIsAnError) {
  std::ofstream(folder_ / "file");
  expect_error(ExitCode::storage, [&] { BlackBox box(folder_ / "file" / "rank-0000.ring", {}); });
  expect_error(ExitCode::storage, [&] { BlackBox::make_room(folder_ / "file"); });
}

TEST_F(BlackBoxFile, TheStartBeforeIsKept) {
  const auto present = BlackBox::folder(folder_.path()), before = BlackBox::folder_before(folder_.path());
  for (const char* start : {"first", "second", "third"}) {
    BlackBox::make_room(folder_.path());
    EXPECT_TRUE(std::filesystem::is_empty(present));
    std::ofstream(present / start);
  }
  EXPECT_TRUE(std::filesystem::exists(present / "third"));
  EXPECT_TRUE(std::filesystem::exists(before / "second"));
  EXPECT_FALSE(std::filesystem::exists(before / "first"));
}

TEST_F(BlackBoxFile, AnEventCostsLessThanAMicrosecond) {
  BlackBox box(path_, {});
  constexpr int rounds = 100000;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    box.set_step(i);
    box.enter("all_reduce gradients bucket 3", 1 << 20);
    box.leave();
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  fmt::print("{:.0f} ns an event\n", time.count() / (3 * rounds));
  RecordProperty("nanoseconds", fmt::format("{:.1f}", time.count() / (3 * rounds)));
  EXPECT_LT(time.count() / (3 * rounds), 1000);
}

}  // namespace
}  // namespace ganymede
