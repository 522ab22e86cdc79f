#include "launch/checkpoint_saver.h"

#include <gtest/gtest.h>

#include "tests/core/ordinary_user.h"
#include "tests/core/temporary_folder.h"
#include "tests/launch/one_weight.h"

namespace ganymede {
namespace {

// As the last step's, which is saved before it is scored. The best before stays until the next cleaning up.
TEST(CheckpointSaver, ABestThatIsThereCostsAWarningWhereTheOneBeforeCannotBeRemoved) {
  const TemporaryFolder folder;
  const auto checkpoints = folder / "checkpoints", old = checkpoints / checkpoint_name(1);
  Process process;
  OneWeight method(process.world(), /*scale_loss=*/false);
  CheckpointSaver saver(process, checkpoints, {.keep = 1});
  for (const std::int64_t step : {1, 2}) {
    saver.begin(method, {step, 0, 0}, {});
    saver.finish();
    if (step == 1) saver.keep_best(step);
  }
  ASSERT_EQ(saver.saved_step(), 2);
  ASSERT_TRUE(std::filesystem::exists(old));
  {
    for (const auto& path : {folder.path(), checkpoints})
      std::filesystem::permissions(path, std::filesystem::perms{0555});
    const OrdinaryUser user;
    testing::internal::CaptureStderr();
    EXPECT_NO_THROW(saver.keep_best(2));
    const std::string told = testing::internal::GetCapturedStderr();
    EXPECT_NE(told.find("warning: cannot remove the old checkpoint " + old.string()), told.npos) << told;
  }
  EXPECT_TRUE(std::filesystem::exists(old));
  std::filesystem::permissions(checkpoints, std::filesystem::perms{0755});
  saver.keep_best(2);
  EXPECT_FALSE(std::filesystem::exists(old));
}

}  // namespace
}  // namespace ganymede
