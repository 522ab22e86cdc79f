#include "distributed/replica_check.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::world;

/// The same on all ranks.
NamedTensors some_weights() {
  const at::Tensor numbers = at::arange(3 * 5 * 4 * 4, at::kFloat).sin();
  const at::Tensor kernel = numbers.reshape({3, 5, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  return {{"generator/weight/a", kernel.to(test::device())},
          {"generator/ema/b", numbers.narrow(0, 0, 77).to(at::kDouble).to(test::device())},
          {"discriminator/weight/c", at::zeros({2, 3}, test::on_device(at::kBFloat16))},
          {"discriminator/weight/none", at::zeros({0}, test::on_device())}};
}

void flip(const at::Tensor& tensor, std::int64_t bit) {
  at::Tensor bytes = tensor.as_strided({tensor.numel()}, {1}).view(at::kByte);
  bytes[bit / 8].bitwise_xor_(1 << bit % 8);
}

TEST(ReplicaCheck, FindsNothingWhereAllAreTheSame) {
  EXPECT_FALSE(compare_replicas(world(), some_weights()));
  EXPECT_FALSE(compare_replicas(world(), {}));
}

// The ranks draw the same numbers.
TEST(ReplicaCheck, FindsAnyOneFlippedBitAndNamesRankAndTensor) {
  std::mt19937 draw(7);
  int found = 0, named = 0;
  constexpr int times = 50;
  for (int i = 0; i < times; ++i) {
    const NamedTensors weights = some_weights();
    const auto which = draw() % 3;
    const auto bits = static_cast<std::int64_t>(weights[which].second.nbytes()) * 8;
    const std::int64_t bit = static_cast<std::int64_t>(draw()) % bits;
    const int victim = static_cast<int>(draw()) & 0xff;
    if (world().rank() == victim % world().size()) flip(weights[which].second, bit);
    const auto difference = compare_replicas(world(), weights);
    if (!difference) continue;
    ++found;
    EXPECT_EQ(difference->tensors, std::vector{weights[which].first});
    named += difference->ranks == std::vector{victim % world().size()};
    EXPECT_TRUE(world().size() != 2 || difference->ranks.empty()) << "of two, none is in the majority";
  }
  EXPECT_EQ(found, world().size() == 1 ? 0 : times);
  EXPECT_EQ(named, world().size() < 3 ? 0 : times);
  if (world().rank() == 0)
    std::printf("%d of %d flipped bits found, %d ranks named, on %d ranks\n", found, times, named, world().size());
}

TEST(ReplicaCheck, SaysItInOneLine) {
  EXPECT_EQ((ReplicaDifference{{2}, {"a"}}.text(4)), "rank 2 is not as the other 3: 1 tensor differs, a");
  EXPECT_EQ((ReplicaDifference{{1, 3}, {"a", "b"}}.text(5)),
            "ranks 1, 3 are not as the other 3: 2 tensors differ, a the first");
  EXPECT_EQ((ReplicaDifference{{}, {"a"}}.text(2)),
            "the 2 ranks are not the same, and no majority tells which is wrong: 1 tensor differs, a");
}

}  // namespace
}  // namespace ganymede
