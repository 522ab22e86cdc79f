#include "tests/fuzz/sanitizer_reports.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>

namespace ganymede {
namespace {

std::atomic<bool>* reported = nullptr;

/// Whether the innermost function that belongs neither to the sanitizers nor to the C and C++ libraries is this program's.
bool is_own_code() {
  Dl_info program{}, place{};
  ::dladdr(reinterpret_cast<const void*>(&watch_children), &program);
  std::array<void*, 32> frames;
  const int depth = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  bool is_below_hook = false;
  for (int i = 0; i < depth; ++i) {
    if (::dladdr(frames[static_cast<std::size_t>(i)], &place) == 0 || place.dli_fname == nullptr) continue;
    if (std::exchange(is_below_hook, is_below_hook || place.dli_saddr == reinterpret_cast<void*>(&__asan_on_error)) == false)
      continue;
    const std::string_view library = place.dli_fname;
    const auto is = [&](const char* name) { return library.find(name) != std::string_view::npos; };
    if (is("libasan") || is("libubsan") || is("libc.so") || is("libstdc++") || is("libgcc")) continue;
    return place.dli_fbase == program.dli_fbase;
  }
  return true;
}

/// Running out of memory is what the children's limit is for.
bool is_lack_of_memory() {
  const std::string_view what = __asan_get_report_description();
  return what.find("out-of-memory") != std::string_view::npos || what.find("size-too-big") != std::string_view::npos;
}

}  // namespace

void watch_children() {
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  reported = new (memory) std::atomic<bool>(false);
  std::array<void*, 1> first;
  ::backtrace(first.data(), 1);  // which loads what it needs
  // libFuzzer would take a child's end for its own and write down the input.
  ::pthread_atfork(nullptr, nullptr, [] { __sanitizer_set_death_callback([] {}); });
}

bool children_were_reported() {
  return reported->exchange(false);
}

extern "C" void __asan_on_error() {
  if (reported != nullptr && !is_lack_of_memory() && is_own_code()) reported->store(true);
}

extern "C" void __ubsan_on_report() {
  if (reported != nullptr) reported->store(true);
}

/// Crashes in the children are to be told apart too, though they give their signals back to the system.
extern "C" const char* __asan_default_options() {
  return "handle_segv=2:handle_sigfpe=2:handle_sigill=2:allocator_may_return_null=1:quarantine_size_mb=16";
}

}  // namespace ganymede
