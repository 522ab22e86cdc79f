#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "models/method.h"
#include "models/player.h"

namespace ganymede::test {

/// Whether two runs' tensors are the same by name and bit.
inline bool same(const NamedTensors& a, const NamedTensors& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return x.first == y.first && at::equal(x.second, y.second); });
}

/// The largest relative L2 of a tensor, of one near zero against 1e-3; `where` becomes its name. NaN is largest.
inline double difference(const NamedTensors& state, const NamedTensors& expected, std::string& where) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double off = (state[i].second - expected[i].second).norm().item<double>() /
                       (1e-3 + expected[i].second.norm().item<double>());
    if (!(off <= worst)) {
      worst = off;
      where = expected[i].first;
    }
  }
  return worst;
}

/// Expects that a step of `run` leaves all as it is but for the guards: in float16 its loss scales are too large, else
/// a weight of its last player, which all losses depend on, is not a number. Collective.
template <class Run>
void expect_skipping_changes_nothing(Run run) {
  const std::vector<Player*> players = run.method().players();
  bool scales = false;
  for (const Player* player : players) {
    scales = player->guard().scales();
    if (scales) player->guard().scale().fill_(1e30);
  }
  if (!scales) at::Tensor(players.back()->weights(/*average=*/false).front().second).fill_(NAN);
  const NamedTensors before = run.state();
  run.train(1);
  const NamedTensors after = run.state();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].first.find("/guard/") == std::string::npos) {
      EXPECT_TRUE(at::allclose(before[i].second, after[i].second, 0, 0, /*equal_nan=*/true)) << before[i].first;
    }
  for (const Player* player : players) {
    EXPECT_GE(player->guard().skipped().template item<double>(), 1) << player->name();
  }
}

}  // namespace ganymede::test
