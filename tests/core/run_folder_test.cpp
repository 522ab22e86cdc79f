#include "core/run_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/error.h"
#include "tests/core/ordinary_user.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

std::string text_in(const std::filesystem::path& path) {
  return read_text_file(path, 1 << 20);
}

void append(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app) << text;
}

TEST(RunFolder, MakesWhatARunNeeds) {
  const TemporaryFolder folder;
  const RunFolder run(folder / "some/new/run/");
  EXPECT_EQ(run.path(), folder / "some/new/run");
  EXPECT_TRUE(std::filesystem::is_directory(run.samples()));
  EXPECT_TRUE(std::filesystem::is_directory(run.checkpoints()));
  EXPECT_EQ(run.checkpoints(), folder / "some/new/run/checkpoints");
}

TEST(RunFolder, IsFreshUntilARunWroteIntoIt) {
  const TemporaryFolder folder;
  EXPECT_TRUE(RunFolder(folder.path()).is_fresh());
  EXPECT_TRUE(RunFolder(folder.path()).is_fresh()) << "opening alone leaves no trace of a run";
  RunFolder(folder / "a").write_config("x = 1\n");
  EXPECT_FALSE(RunFolder(folder / "a").is_fresh());
  RunFolder(folder / "b").append_log({{"step", 1}});
  EXPECT_FALSE(RunFolder(folder / "b").is_fresh());
  std::filesystem::create_directory(RunFolder(folder / "c").checkpoints() / "step-000000001");
  EXPECT_FALSE(RunFolder(folder / "c").is_fresh());
}

TEST(RunFolder, RefusesLinksAndFiles) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "real");
  std::filesystem::create_symlink("real", folder / "link");
  std::filesystem::create_symlink("absent", folder / "dangling");
  append(folder / "file", "x");
  for (const char* name : {"link", "link/", "dangling", "file", "file/below"}) {
    const std::string message = expect_error(ExitCode::storage, [&] { RunFolder(folder / name); });
    EXPECT_NE(message.find((folder / name).parent_path().filename().string()), std::string::npos) << message;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "real"));
}

TEST(RunFolder, RefusesAFolderThatCannotBeWritten) {
  const TemporaryFolder folder;
  namespace fs = std::filesystem;
  const fs::perms read_only =
      fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec;
  fs::create_directory(folder / "run");
  for (const char* name : {"run", "."}) fs::permissions(folder / name, read_only);
  {
    const OrdinaryUser user;
    for (const char* name : {"run", "new"})
      expect_error(ExitCode::storage, [&] { RunFolder(folder / name); });
  }
  for (const char* name : {".", "run"}) fs::permissions(folder / name, fs::perms::owner_all);
  EXPECT_TRUE(RunFolder(folder / "run").is_fresh());
}

TEST(RunFolder, ASecondRunIsRefusedUntilTheFirstIsGone) {
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunFolder run(folder.path());
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::string message = expect_error(ExitCode::storage, [&] { RunFolder(folder.path()); });
    EXPECT_NE(message.find(fmt::format("process {} on host ", child)), std::string::npos) << message;
  }
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(RunFolder(folder.path()).is_fresh());
  for (const int descriptor : ready) ::close(descriptor);
}

TEST(RunFolder, LogsOneObjectALine) {
  const TemporaryFolder folder;
  RunFolder run(folder.path());
  run.append_log({{"step", 1}, {"loss", 0.5}});
  EXPECT_EQ(text_in(folder / "log.jsonl"), "{\"loss\":0.5,\"step\":1}\n") << "at once, not at the end";
  run.append_log({{"text", "two\nlines \xff"}});
  EXPECT_EQ(text_in(folder / "log.jsonl"),
            "{\"loss\":0.5,\"step\":1}\n{\"text\":\"two\\nlines \xef\xbf\xbd\"}\n");
}

TEST(RunFolder, TheLogIsCutBackToTheStepResumedFrom) {
  const TemporaryFolder folder;
  RunFolder run(folder.path());
  run.cut_back(5);
  EXPECT_FALSE(std::filesystem::exists(folder / "log.jsonl"));
  for (int step = 1; step <= 12; ++step) run.append_log({{"step", step}});
  run.append_log({{"event", "saved"}});
  append(folder / "log.jsonl", "{\"step\":13,\"lo");
  for (int step : {11, 12}) run.append_score({{"step", step}});
  for (int step : {11, 12})
    for (const char* kind : {"", "trajectory"}) append(run.sample(step, kind), "picture");
  append(folder / "samples/mine.png", "picture");
  run.append_start({{"step", 12}});
  run.cut_back(11);
  EXPECT_EQ(text_in(folder / "metrics.jsonl"), "{\"step\":11}\n");
  EXPECT_TRUE(std::filesystem::exists(folder / "samples/step-000000011.png"));
  EXPECT_FALSE(std::filesystem::exists(folder / "samples/step-000000012.png"));
  EXPECT_TRUE(std::filesystem::exists(folder / "samples/step-000000011-trajectory.png"));
  EXPECT_FALSE(std::filesystem::exists(folder / "samples/step-000000012-trajectory.png"));
  EXPECT_TRUE(std::filesystem::exists(folder / "samples/mine.png"));
  EXPECT_EQ(text_in(folder / "starts.jsonl"), "{\"step\":12}\n") << "what has been started has been started";
  run.append_log({{"step", 12}, {"again", true}});
  std::string expected;
  for (int step = 1; step <= 11; ++step) expected += fmt::format("{{\"step\":{}}}\n", step);
  expected += "{\"event\":\"saved\"}\n{\"again\":true,\"step\":12}\n";
  EXPECT_EQ(text_in(folder / "log.jsonl"), expected);
  append(folder / "log.jsonl", "{\"step\":12}");
  run.cut_back(12);
  EXPECT_EQ(text_in(folder / "log.jsonl"), expected + "{\"step\":12}\n")
      << "whole, only its end of line lost";
}

TEST(RunFolder, KeepsTheOptions) {
  const TemporaryFolder folder;
  const RunFolder run(folder.path());
  run.write_config("[optimizer]\nlr = 2e-4\n");
  run.write_config("[optimizer]\nlr = 1e-4\n");
  EXPECT_EQ(text_in(folder / RunFolder::config_name), "[optimizer]\nlr = 1e-4\n");
}

}  // namespace
}  // namespace ganymede
