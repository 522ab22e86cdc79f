#pragma once

#include <cstdint>
#include <span>

namespace ganymede {

/// How often each branch of the rooms core and datasets was taken, as GCC's -fsanitize-coverage=trace-pc tells, in counters
/// that libFuzzer knows how to read. Nothing is counted before this call, nor in programs that never make it. Processes forked
/// later share the memory: what they do counts too.
std::span<std::uint8_t> shared_branch_counts();

}  // namespace ganymede
