#pragma once

#include <cstdint>

#include "core/kernels/portable.h"

namespace ganymede {

/// One of the ten rounds of Philox4x32 (core/philox.h): the counter's four words and the key's two become the next.
GANYMEDE_PORTABLE void philox_round(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2,
                                    std::uint32_t& c3, std::uint32_t key0, std::uint32_t key1) {
  const std::uint64_t a = std::uint64_t{0xD2511F53} * c0;
  const std::uint64_t b = std::uint64_t{0xCD9E8D57} * c2;
  c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ key0;
  c1 = static_cast<std::uint32_t>(b);
  c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ key1;
  c3 = static_cast<std::uint32_t>(a);
}

/// What is added to the key's words after each round.
constexpr std::uint32_t philox_step0 = 0x9E3779B9, philox_step1 = 0xBB67AE85;

}  // namespace ganymede
