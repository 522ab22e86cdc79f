#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "core/named_tensors.h"

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

}  // namespace ganymede::test
