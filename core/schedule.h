#pragma once

#include <cstdint>
#include <string>

namespace ganymede {

/// The learning rate's factor over a run: a linear warm-up from 1/warmup to 1, then constant, linear or
/// cosine decay to `final_factor` at `total` updates.
struct Schedule {
  std::int64_t warmup = 0;         ///< updates
  std::string decay = "constant";  ///< constant, linear, cosine
  double final_factor = 0;
  std::int64_t total = 0;  ///< updates of the whole run

  /// The factor for update t = 1, 2, ...
  double factor(std::int64_t t) const;
};

}  // namespace ganymede
