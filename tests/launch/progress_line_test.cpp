#include "launch/progress_line.h"

#include <gtest/gtest.h>

#include <memory>

namespace ganymede {
namespace {

struct Log {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), std::fclose};

  std::string text() {
    std::string text(256, '\0');
    std::rewind(file.get());
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    return text;
  }
};

TEST(ProgressLine, PrintsPlainLinesIntoALog) {
  Log log;
  {
    ProgressLine line(log.file.get());
    line.show("one");
    line.show("two");
  }
  EXPECT_EQ(log.text(), "one\ntwo\n");
}

TEST(ProgressLine, LeavesNoTraceOfShortWork) {
  Log log;
  {
    ProgressLine line(log.file.get(), 60);
    line.show("one");
    line.finish();
  }
  EXPECT_EQ(log.text(), "");
}

TEST(ProgressLine, TellsTheTimeLeftFromWhatThisRunDid) {
  Log log;
  ProgressLine line(log.file.get());
  line.start(50);
  EXPECT_EQ(line.seconds_left(), 0);
  while (line.seconds() < 0.01) continue;
  line.advance(60, 100);
  EXPECT_GT(line.rate(), 0);
  // Four times what is done is left, by a clock that has gone on a little.
  const double left = line.seconds_left();
  EXPECT_GE(left, 0.04);
  EXPECT_LE(left, 4 * line.seconds());
}

}  // namespace
}  // namespace ganymede
