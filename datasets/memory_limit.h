#pragma once

#include <cstdint>

namespace ganymede {

/// Bytes that this process may use: the least of the machine's memory, its limits (ulimit -d and -v) and
/// those of its control group.
std::int64_t memory_limit();

}  // namespace ganymede
