#include "core/philox.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

// The known answers that come with the authors' Random123 library.
TEST(Philox, MatchesKnownAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, RowsDoNotDependOnTheRange) {
  const RandomStream stream({.seed = 7, .phase = "generator", .step = 3, .stream = "z"});
  const at::Tensor all = stream.normal(0, 10, 5, at::kDouble);
  EXPECT_TRUE(at::equal(all.narrow(0, 4, 3), stream.normal(4, 3, 5, at::kDouble)));
  EXPECT_TRUE(at::equal(stream.integers(0, 10, 9).narrow(0, 6, 4), stream.integers(6, 4, 9)));
}

TEST(RandomStream, EveryFieldOfTheKeyMatters) {
  const RandomKey base{
      .seed = 1, .reseed = 2, .phase = "a", .step = 3, .sub_step = 4, .layer = "b", .stream = "c"};
  std::vector<RandomKey> keys(8, base);
  keys[1].seed = 9;
  keys[2].reseed = 9;
  keys[3].phase = "x";
  keys[4].step = 9;
  keys[5].sub_step = 9;
  keys[6].layer = "x";
  keys[7].stream = "x";
  std::vector<std::uint64_t> first;
  for (const RandomKey& key : keys) first.push_back(RandomStream(key).bits(0, 0));
  std::sort(first.begin(), first.end());
  EXPECT_EQ(std::adjacent_find(first.begin(), first.end()), first.end());
}

TEST(RandomStream, HasTheMomentsOfItsDistribution) {
  const RandomStream stream({.seed = 11, .phase = "test"});
  const at::Tensor normal = stream.normal(0, 20000, 7, at::kDouble);
  EXPECT_NEAR(normal.mean().item<double>(), 0, 0.01);
  EXPECT_NEAR(normal.pow(2).mean().item<double>(), 1, 0.02);
  EXPECT_NEAR(normal.pow(4).mean().item<double>(), 3, 0.1);
  const at::Tensor uniform = stream.uniform(0, 20000, 3, at::kDouble);
  EXPECT_NEAR(uniform.mean().item<double>(), 0.5, 0.005);
  EXPECT_GE(uniform.min().item<double>(), 0);
  EXPECT_LT(uniform.max().item<double>(), 1);
  const at::Tensor counts = stream.integers(0, 20000, 10).bincount();
  EXPECT_LT((counts - 2000).abs().max().item<double>(), 250);
}

}  // namespace
}  // namespace ganymede
