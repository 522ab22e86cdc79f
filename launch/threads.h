#pragma once

#include <span>
#include <string>

#include "launch/process.h"

namespace ganymede {

/// Host and cores that this process may use, as text that equals another rank's where they share them:
/// "<number of cores> <host> <cores>".
std::string place_of_this_process();

/// Threads for each rank, the same for all, for replicas with different numbers of threads round
/// differently: the least of every rank's cores over the ranks that share them, and at least 1. `places`
/// are those of all ranks.
int threads_each(std::span<const std::string> places);

/// Sets the number of this rank's threads: `wanted`, or, if that is 0, its share of the cores. Collective.
void set_threads(Process& process, std::int64_t wanted);

}  // namespace ganymede
