#pragma once

#include <cstdint>

namespace ganymede {

/// A pseudo-random bijection of [0, size) that is computed where it is asked, without a table: a Feistel
/// network over the next power of two, walked along its cycle until it is back in range (Black and Rogaway,
/// "Ciphers with arbitrary finite domains", CT-RSA 2002). About 30 ns a call, at any size.
class KeyedPermutation {
 public:
  KeyedPermutation(std::int64_t size, std::uint64_t key);
  /// For index in [0, size).
  std::int64_t operator()(std::int64_t index) const;

 private:
  std::uint64_t round_trip(std::uint64_t value) const;

  std::uint64_t size_, key_;
  int low_bits_, high_bits_;
};

}  // namespace ganymede
