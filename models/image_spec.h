#pragma once

#include <cstdint>

namespace ganymede {

/// What the images must be for a method's networks.
struct ImageSpec {
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t classes = 0;  ///< labels are 0 .. classes - 1; 1 also takes images without a label
};

}  // namespace ganymede
