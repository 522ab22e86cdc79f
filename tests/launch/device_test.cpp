#include "launch/device.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

const std::vector<RankGpu> own_gpus{{"a", "0"}, {"a", "1"}, {"b", "0"}}, shared{{"a", "0"}, {"a", "0"}},
    missing{{"a", "0"}, {"b", ""}};

DeviceDecision decide(const char* choice, const std::vector<RankGpu>& ranks, bool may_share = false) {
  return decide_device({.choice = choice, .option = "train.device", .may_share = may_share}, ranks);
}

std::string refusal(const std::vector<RankGpu>& ranks, const std::string& option) {
  try {
    decide_device({.choice = "cuda", .option = option}, ranks);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    return error.what();
  }
  return "nothing";
}

TEST(Device, IsAGpuWhereEveryRankHasItsOwn) {
  for (const char* choice : {"auto", "cuda"}) {
    const DeviceDecision decision = decide(choice, own_gpus);
    EXPECT_TRUE(decision.cuda);
    EXPECT_EQ(decision.warning, "");
  }
  EXPECT_FALSE(decide("cpu", own_gpus).cuda);
}

TEST(Device, MayBeSharedInTests) {
  EXPECT_TRUE(decide("auto", shared, /*may_share=*/true).cuda);
}

TEST(Device, AutoFallsBackOnTheCpu) {
  const DeviceDecision without = decide("auto", missing);
  EXPECT_FALSE(without.cuda);
  EXPECT_EQ(without.warning, "");
  const DeviceDecision crowded = decide("auto", shared);
  EXPECT_FALSE(crowded.cuda);
  EXPECT_NE(crowded.warning.find("2 ranks on 1 GPUs"), std::string::npos) << crowded.warning;
}

TEST(Device, RefusesWhatItCannotHave) {
  const std::string crowded = refusal(shared, "train.device");
  EXPECT_EQ(crowded.find("train.device = cuda: 2 ranks on 1 GPUs"), 0u) << crowded;
  const std::string message = refusal(missing, "--device");
  EXPECT_EQ(message.find("--device = cuda, but"), 0u) << message;
}

TEST(Device, TheHostIsSeenByEveryone) {
  EXPECT_NE(own_gpu(0).host, "");
}

}  // namespace
}  // namespace ganymede
