#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "datasets/guarded_process.h"

namespace ganymede {

/// Runs `work` in a process whose memory suffices for the stacks of `threads` threads beside its first.
inline std::string with_threads(std::int64_t threads, const std::function<std::string()>& work) {
  constexpr std::int64_t stack = 64 << 20;
  return run_guarded("test", {.memory = threads * stack + stack / 2}, [&] {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, static_cast<std::size_t>(stack));
    pthread_setattr_default_np(&attributes);
    return work();
  });
}

}  // namespace ganymede
