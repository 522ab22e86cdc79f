#include "core/metrics/radix_sort.h"

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace ganymede {
namespace {

constexpr int digit_bits = 11, passes = 3;
constexpr std::size_t digit_values = std::size_t{1} << digit_bits;
constexpr std::uint32_t sign = 0x80000000;

// Unsigned numbers in the order of the floats: a negative one has all bits turned, any other its sign.
std::uint32_t ordered(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return bits & sign ? ~bits : bits | sign;
}

float restored(std::uint32_t key) {
  return std::bit_cast<float>(key & sign ? key & ~sign : ~key);
}

std::size_t digit(std::uint32_t key, int pass) {
  return (key >> (pass * digit_bits)) % digit_values;
}

using Counts = std::array<std::array<std::size_t, digit_values>, passes>;

/// Turns how often each digit occurs into where its first one goes.
void sum_up(Counts& counts) {
  for (auto& pass : counts) {
    std::size_t sum = 0;
    for (std::size_t& count : pass) {
      const std::size_t first = sum;
      sum += count;
      count = first;
    }
  }
}

}  // namespace

void radix_sort(std::span<float> values) {
  std::vector<std::uint32_t> keys(values.size()), moved(values.size());
  Counts places{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    keys[i] = ordered(values[i]);
    for (int pass = 0; pass < passes; ++pass) ++places[static_cast<std::size_t>(pass)][digit(keys[i], pass)];
  }
  sum_up(places);
  for (int pass = 0; pass < passes; ++pass) {
    for (const std::uint32_t key : keys)
      moved[places[static_cast<std::size_t>(pass)][digit(key, pass)]++] = key;
    keys.swap(moved);
  }
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = restored(keys[i]);
}

}  // namespace ganymede
