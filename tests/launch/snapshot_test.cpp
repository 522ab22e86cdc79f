#include "launch/snapshot.h"

#include <gtest/gtest.h>

#include "launch/saved_tensors.h"
#include "tests/core/saved_checkpoint.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

// Whole, and yet nothing that a run could go on from.
TEST(OpenCheckpoint, RefusesAHeaderThatIsNoRuns) {
  const TemporaryFolder folder;
  Process process;
  const auto checkpoint = save(CheckpointStore(folder / "checkpoints", 1), 3, some_tensors(1), 1);
  const std::string message =
      expect_error(ExitCode::checkpoint, [&] { open_checkpoint(process, checkpoint); });
  EXPECT_NE(message.find("none of a training run"), message.npos) << message;
}

TEST(NewestCheckpoint, WhereNoneIsSoundTheRemedyIsTold) {
  const TemporaryFolder folder;
  Process process;
  const auto checkpoint = save(CheckpointStore(folder / "checkpoints", 1), 3, some_tensors(1), 1);
  std::filesystem::resize_file(checkpoint / Manifest::file_name, 10);
  for (const std::function<void()>& read : std::vector<std::function<void()>>{
           [&] { newest_checkpoint(process, folder.path()); }, [&] { read_saved(folder.path()); }}) {
    const std::string message = expect_error(ExitCode::checkpoint, read);
    EXPECT_EQ(message.find("none of the 1 checkpoints in " + folder.path().string() + " is sound: restore one"), 0u)
        << message;
  }
}

}  // namespace
}  // namespace ganymede
