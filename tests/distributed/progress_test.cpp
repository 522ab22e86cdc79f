#include "distributed/progress.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ganymede {
namespace {

TEST(ProgressBoard, TellsWhatWasMarked) {
  ProgressBoard board;
  Progress progress = board.read().value();
  EXPECT_EQ(progress.step, -1);
  EXPECT_EQ(progress.marks, 0u);
  board.enter("barrier");
  board.leave();
  board.set_step(41);
  board.note("loading a batch");
  board.enter("all_reduce gradients bucket 3");
  progress = board.read().value();
  EXPECT_EQ(progress.step, 41);
  EXPECT_EQ(progress.round, 1u);
  EXPECT_EQ(progress.sequence, 2u);
  EXPECT_EQ(progress.in_round, 1u);
  EXPECT_TRUE(progress.waiting);
  EXPECT_STREQ(progress.what.data(), "all_reduce gradients bucket 3");
  EXPECT_STREQ(progress.activity.data(), "loading a batch");
  board.leave();
  EXPECT_FALSE(board.read()->waiting);
  EXPECT_NE(board.read()->marks, progress.marks);
}

TEST(ProgressBoard, CutsLongTextsAndForgetsLongerOnes) {
  ProgressBoard board;
  for (const std::size_t length : {200, 96, 95, 88, 87, 8, 7, 1, 0}) {
    const std::string text(length, 'x');
    board.note(text);
    EXPECT_EQ(std::string(board.read()->activity.data()), text.substr(0, Progress::text_bytes - 1));
  }
}

TEST(ProgressBoard, NeverShowsHalfAMark) {
  ProgressBoard board;
  std::atomic<bool> over{false};
  std::thread writer([&] {
    std::vector<std::string> texts;
    for (char letter = 'a'; letter <= 'z'; ++letter) texts.emplace_back(90, letter);
    for (std::size_t i = 0; !over; ++i) board.enter(texts[i % texts.size()]);
  });
  int seen = 0;
  bool torn = false;
  for (int i = 0; i < 500000 || seen < 100; ++i) {
    const auto progress = board.read();
    if (!progress || progress->sequence == 0) continue;
    ++seen;
    const char letter = static_cast<char>('a' + (progress->sequence - 1) % 26);
    torn |= std::string_view(progress->what.data()).find_first_not_of(letter) != std::string_view::npos;
  }
  over = true;
  writer.join();
  EXPECT_FALSE(torn);
}

}  // namespace
}  // namespace ganymede
