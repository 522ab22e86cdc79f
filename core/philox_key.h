#pragma once

#include "core/philox.h"

namespace ganymede {

/// The two words by which Philox draws what belongs to `key`, for kernels that count for themselves. RandomStream
/// draws bits(position, index) as words 2 (index mod 2) and the next of the counter {position's low word, its high
/// word, index / 2, 0}.
std::array<std::uint32_t, 2> philox_key(const RandomKey& key);

}  // namespace ganymede
