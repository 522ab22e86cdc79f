#include "datasets/keyed_permutation.h"

#include <algorithm>
#include <bit>

namespace ganymede {
namespace {

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

}  // namespace

KeyedPermutation::KeyedPermutation(std::int64_t size, std::uint64_t key)
    : size_(static_cast<std::uint64_t>(size)), key_(key) {
  // Halves of two bits at least: with one bit there are too few round functions to make every order likely.
  const int bits = std::max(4, static_cast<int>(std::bit_width(size_ - 1)));
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
}

std::uint64_t KeyedPermutation::round_trip(std::uint64_t value) const {
  const std::uint64_t low_mask = (std::uint64_t{1} << low_bits_) - 1;
  const std::uint64_t high_mask = (std::uint64_t{1} << high_bits_) - 1;
  std::uint64_t low = value & low_mask, high = value >> low_bits_;
  for (std::uint64_t round = 0; round < 8; round += 2) {
    high ^= mix(key_ + 0x9E3779B97F4A7C15 * (low << 3 | round)) & high_mask;
    low ^= mix(key_ + 0x9E3779B97F4A7C15 * (high << 3 | (round + 1))) & low_mask;
  }
  return high << low_bits_ | low;
}

std::int64_t KeyedPermutation::operator()(std::int64_t index) const {
  std::uint64_t value = static_cast<std::uint64_t>(index);
  do {
    value = round_trip(value);
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

}  // namespace ganymede
