#pragma once

#include <cstdint>

namespace ganymede {

/// What a layer that mixes images sends through the communicator of batch norm, an all-reduce a pass.
struct Exchange {
  std::int64_t numbers = 0;  ///< of one all-reduce: float64 forward, of the weights' type backward
  bool backward = true;      ///< whether a backward sends as many
  bool made_again = false;   ///< a gradient that has a gradient itself runs its forward once more
  bool rounded = false;      ///< of the weights' type forward too
};

}  // namespace ganymede
