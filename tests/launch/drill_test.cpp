#include <gtest/gtest.h>

#include "core/files.h"
#include "launch/drill/rehearsal.h"
#include "launch/drill/requeue.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

const Fault& fault(const std::string& name) {
  return *std::ranges::find(faults(), name, [](const Fault& one) { return std::string(one.name); });
}

Outcome survived() {
  return {.struck = true,
          .ended = true,
          .exit_code = 137,
          .seconds = 1,
          .left = {},
          .resumed_code = 0,
          .resumed_from = 20,
          .equal = true};
}

Verdict judged(const Outcome& outcome) {
  return judge(fault("kill"), outcome, "kill.txt");
}

TEST(Drill, TellsWhatWasSurvived) {
  const Verdict verdict = judged(survived());
  EXPECT_EQ(verdict.state, Verdict::State::ok);
  EXPECT_EQ(verdict.text,
            "exit 137, all ranks of this host gone after 1.0 s; resumed from step 20, its end equal bit by bit");
}

TEST(Drill, AnotherExitCodeIsAWarning) {
  Outcome outcome = survived();
  outcome.exit_code = 1;
  const Verdict verdict = judged(outcome);
  EXPECT_EQ(verdict.state, Verdict::State::warning);
  EXPECT_NE(verdict.text.find("137 was expected"), std::string::npos) << verdict.text;
}

TEST(Drill, WhatIsNotSurvivedFails) {
  const auto code_with = [](auto change) {
    Outcome outcome = survived();
    change(outcome);
    const Verdict verdict = judged(outcome);
    EXPECT_EQ(verdict.state, Verdict::State::failed);
    return verdict.code;
  };
  EXPECT_EQ(code_with([](Outcome& outcome) { outcome.struck = false; }), ExitCode::peer);
  EXPECT_EQ(code_with([](Outcome& outcome) { outcome.ended = false; }), ExitCode::hang);
  EXPECT_EQ(code_with([](Outcome& outcome) { outcome.left = {4711}; }), ExitCode::hang);
  EXPECT_EQ(code_with([](Outcome& outcome) { outcome.resumed_code = 4; }), ExitCode::checkpoint);
  EXPECT_EQ(code_with([](Outcome& outcome) { outcome.equal = false; }), ExitCode::diverged);
}

TEST(Drill, StrikesHaveNames) {
  for (const Strike strike : {Strike::kill, Strike::stop, Strike::full}) EXPECT_EQ(strike_named(name_of(strike)), strike);
  EXPECT_THROW(strike_named("flood"), Error);
}

TEST(Drill, ReadsTheNewestWholeLineOfALog) {
  const TemporaryFolder folder;
  const auto log = folder.path() / "log.jsonl";
  EXPECT_EQ(logged_step(folder.path()), -1);
  write_file_durably(log, "{\"step\": 3");
  EXPECT_EQ(logged_step(folder.path()), -1);
  write_file_durably(log, "{\"step\": 3}\n{\"step\": 4}\n{\"st");
  EXPECT_EQ(logged_step(folder.path()), 4);
  write_file_durably(log, "{\"step\": 3}\n");
  EXPECT_EQ(logged_step(folder.path()), 3);
}

/// An environment variable while this lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(Drill, ARequeueThatDoesNotComeIsToldWithWhatToDo) {
  const TemporaryFolder folder;
  write_file_durably(folder.path() / "scontrol", "#!/bin/sh\n");
  std::filesystem::permissions(folder.path() / "scontrol", std::filesystem::perms{0755});
  const Variable path("PATH", folder.path().string() + ":" + std::getenv("PATH")), job("SLURM_JOB_ID", "17");
  const Verdict verdict = requeue(folder.path(), {}, std::chrono::seconds(0));
  EXPECT_EQ(verdict.state, Verdict::State::failed);
  EXPECT_EQ(verdict.code, ExitCode::hang);
  EXPECT_NE(verdict.text.find("not ended within 0 s: see what scontrol show job 17 says"), std::string::npos)
      << verdict.text;
  EXPECT_FALSE(read_record(folder.path()));
}

TEST(Drill, AStartThatSlurmDoesNotCountIsToldWithWhatToDo) {
  const Variable count("SLURM_RESTART_COUNT", "2");
  EXPECT_EQ(after_requeue({.lines = {}, .code = ExitCode::done, .restarts = 1}).state, Verdict::State::ok);
  const Verdict verdict = after_requeue({.lines = {}, .code = ExitCode::done, .restarts = 2});
  EXPECT_EQ(verdict.state, Verdict::State::failed);
  EXPECT_NE(verdict.text.find("submit the drill with --requeue"), std::string::npos) << verdict.text;
}

TEST(Drill, ADamagedRecordIsRefused) {
  const TemporaryFolder folder;
  EXPECT_FALSE(read_record(folder.path()));
  write_file_durably(folder.path() / "drill.json", R"({"lines": ["ok\n"], "code": 5, "restarts": 2})");
  const auto record = read_record(folder.path());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->lines, std::vector<std::string>{"ok\n"});
  EXPECT_EQ(record->code, ExitCode::storage);
  EXPECT_EQ(record->restarts, 2);
  write_file_durably(folder.path() / "drill.json", "{}");
  EXPECT_THROW(read_record(folder.path()), Error);
  forget_record(folder.path());
  EXPECT_FALSE(read_record(folder.path()));
}

}  // namespace
}  // namespace ganymede
