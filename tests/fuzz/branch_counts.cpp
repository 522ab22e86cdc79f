#include "tests/fuzz/branch_counts.h"

#include <sys/mman.h>

#include <cstdlib>

extern "C" char __executable_start;  // of the linker

namespace ganymede {
namespace {

// Some 20,000 branches by a hash of their place: few share a counter, and clearing them costs microseconds.
constexpr int bits = 16;
constexpr std::size_t counters = std::size_t{1} << bits;

std::uint8_t* counts = nullptr;

}  // namespace

std::span<std::uint8_t> shared_branch_counts() {
  void* memory = ::mmap(nullptr, counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  counts = static_cast<std::uint8_t*>(memory);
  return {counts, counters};
}

/// The linker puts this in the place of __sanitizer_cov_trace_pc, of which libFuzzer has one that ends the program. It is
/// called while the program is still being loaded, before the sanitizers are ready.
extern "C" __attribute__((no_sanitize("address", "undefined"))) void __wrap___sanitizer_cov_trace_pc() {
  if (counts == nullptr) return;
  const auto place = static_cast<std::uint64_t>(static_cast<const char*>(__builtin_return_address(0)) - &__executable_start);
  ++counts[place * 0x9E3779B97F4A7C15 >> (64 - bits)];
}

// What GCC calls at comparisons. libFuzzer has better ones for all but reals; those of the sanitizers' libraries cannot be
// called while the program is being loaded, when the loader chooses among clones of a function.
#define GANYMEDE_UNUSED_HOOK(name, ...) \
  extern "C" __attribute__((weak)) void __sanitizer_cov_trace_##name(__VA_ARGS__) {}
GANYMEDE_UNUSED_HOOK(cmp1, std::uint8_t, std::uint8_t)
GANYMEDE_UNUSED_HOOK(cmp2, std::uint16_t, std::uint16_t)
GANYMEDE_UNUSED_HOOK(cmp4, std::uint32_t, std::uint32_t)
GANYMEDE_UNUSED_HOOK(cmp8, std::uint64_t, std::uint64_t)
GANYMEDE_UNUSED_HOOK(const_cmp1, std::uint8_t, std::uint8_t)
GANYMEDE_UNUSED_HOOK(const_cmp2, std::uint16_t, std::uint16_t)
GANYMEDE_UNUSED_HOOK(const_cmp4, std::uint32_t, std::uint32_t)
GANYMEDE_UNUSED_HOOK(const_cmp8, std::uint64_t, std::uint64_t)
GANYMEDE_UNUSED_HOOK(cmpf, float, float)
GANYMEDE_UNUSED_HOOK(cmpd, double, double)
GANYMEDE_UNUSED_HOOK(switch, std::uint64_t, void*)
#undef GANYMEDE_UNUSED_HOOK

}  // namespace ganymede
