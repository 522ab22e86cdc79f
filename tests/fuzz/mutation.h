#pragma once

#include <cstdint>
#include <string>

namespace ganymede {

/// `bytes` as a disk, a copy cut short or a prankster may leave them: single bytes, whole numbers or runs changed, mostly
/// near the beginning and the end, where formats keep what says how the rest is to be read; parts cut off, put in,
/// taken out, repeated, zeroed. The same at each call with the same numbers; it may change nothing.
std::string mutant_of(std::string bytes, std::uint64_t seed, std::uint64_t number);

}  // namespace ganymede
