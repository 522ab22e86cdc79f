#pragma once

#include <cstdint>

namespace ganymede {

/// A run of consecutive indices [first, first + count).
struct Share {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The part of `total` items that belongs to `rank` of `size`: [rank total / size, (rank + 1) total / size).
/// The parts are consecutive, cover everything, and differ by at most one item.
inline Share share_of(std::int64_t total, int rank, int size) {
  const std::int64_t first = rank * total / size;
  return {first, (rank + 1) * total / size - first};
}

}  // namespace ganymede
