#include "datasets/guarded_process.h"

#include <csignal>
#include <cstdlib>
#include <thread>

#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

std::string failure_of(const GuardLimits& limits, const std::function<std::string()>& work,
                       ExitCode code = ExitCode::dataset) {
  return message_of(code, [&] { run_guarded("FILE", limits, work); });
}

TEST(GuardedProcess, BringsBackALongText) {
  const std::string text(1 << 20, 'x');
  EXPECT_EQ(run_guarded("FILE", {}, [&] { return text; }), text);
}

TEST(GuardedProcess, BringsBackAnError) {
  EXPECT_EQ(failure_of(
                {}, []() -> std::string { fail(ExitCode::storage, "disk {}", 7); }, ExitCode::storage),
            "disk 7");
}

TEST(GuardedProcess, SurvivesACrash) {
  const std::string message = failure_of({}, []() -> std::string { std::abort(); });
  EXPECT_EQ(message.find("FILE: reading its metadata crashed"), 0u) << message;
}

TEST(GuardedProcess, EndsAHang) {
  const auto start = std::chrono::steady_clock::now();
  const std::string message = failure_of({.time = std::chrono::milliseconds(200)}, []() -> std::string {
    for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
  });
  EXPECT_EQ(message.find("FILE: not understood within 0.2 s"), 0u) << message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(GuardedProcess, EndsALoopWithoutEnd) {
  const std::string message = failure_of({.processor = std::chrono::seconds(1)}, []() -> std::string {
    for (volatile unsigned turns = 0;;) turns = turns + 1;
  });
  EXPECT_EQ(message.find("FILE: not understood within 1 s of computing"), 0u) << message;
}

TEST(GuardedProcess, RefusesGreedForMemory) {
  const std::string message =
      failure_of({.memory = 64 << 20}, [] { return std::string(std::size_t{4} << 30, 'x').substr(0, 1); });
  EXPECT_EQ(message.find("FILE: "), 0u) << message;
}

TEST(GuardedProcess, LeavesNoTraceInTheParent) {
  int value = 1;
  EXPECT_EQ(run_guarded("FILE", {}, [&] { return std::to_string(++value); }), "2");
  EXPECT_EQ(value, 1);
}

}  // namespace
}  // namespace ganymede
