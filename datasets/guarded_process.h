#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace ganymede {

/// What a guarded piece of work may use.
struct GuardLimits {
  std::chrono::milliseconds time = std::chrono::seconds(60);  ///< on the wall's clock: storage may be slow
  std::chrono::seconds processor{5};                          ///< of computing: a loop without end is told sooner
  std::int64_t memory = std::int64_t{2} << 30;                ///< bytes of address space beyond what this process has now
};

/// Runs `work` in a forked child and returns its text. An Error that it throws is thrown here; a crash, a
/// hang or a greed for memory becomes an Error(dataset) which names `subject`, and this process goes on
/// unharmed. Meant for libraries that damaged files can break. `work` sees this process's memory as it was
/// and leaves no trace in it; it must not use threads, MPI or a GPU.
std::string run_guarded(const std::string& subject, const GuardLimits& limits,
                        const std::function<std::string()>& work);

}  // namespace ganymede
