#pragma once

#include <cstdint>
#include <string>

namespace ganymede {

/// The learning rate's factor over a run: a linear warm-up from 1 / warmup to 1, then 1, then a linear or
/// cosine decay to final_factor between two updates, then final_factor. It does not know when the run ends,
/// so a run that is made longer stays the same run.
struct Schedule {
  std::int64_t warmup = 0;         ///< updates
  std::string decay = "constant";  ///< constant, linear, cosine
  std::int64_t decay_from = 0;     ///< update after which the decay begins
  std::int64_t decay_until = 0;    ///< update at which final_factor is reached
  double final_factor = 0;

  /// The factor for update t = 1, 2, ...
  double factor(std::int64_t t) const;
};

}  // namespace ganymede
