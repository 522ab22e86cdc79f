#include "core/background_work.h"

#include <gtest/gtest.h>

#include <future>

#include "core/error.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using namespace std::chrono_literals;

TEST(BackgroundWork, EndsWithItsText) {
  std::promise<void> begin;
  BackgroundWork work([may = begin.get_future().share()](const auto& tick) {
    may.wait();
    tick();
    tick();
    return std::string("written");
  });
  EXPECT_FALSE(work.is_done());
  work.wait_for(1ms);
  EXPECT_FALSE(work.is_done());
  begin.set_value();
  work.wait_for(1min);
  EXPECT_TRUE(work.is_done());
  EXPECT_EQ(work.ticks(), 2u);
  EXPECT_EQ(work.result(), "written");
}

TEST(BackgroundWork, HandsOverWhatItThrew) {
  const BackgroundWork work([](const auto&) -> std::string { fail(ExitCode::storage, "full"); });
  work.wait_for(1min);
  EXPECT_EQ(expect_error(ExitCode::storage, [&] { work.result(); }), "full");
}

TEST(BackgroundWork, EndsAtItsNextTickWhereNobodyWaits) {
  std::atomic<bool> ended = false;
  {
    std::promise<void> begun;
    BackgroundWork work([&](const auto& tick) -> std::string {
      begun.set_value();
      try {
        for (;;) tick();
      } catch (...) {
        ended = true;
        throw;
      }
    });
    begun.get_future().wait();
  }
  EXPECT_TRUE(ended);
}

TEST(BackgroundWork, OwnsNothingAnyMoreOnceItIsDone) {
  const auto held = std::make_shared<int>(1);
  const BackgroundWork work([held](const auto&) { return std::string(); });
  work.wait_for(1min);
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace ganymede
