#include "launch/snapshot.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ganymede
