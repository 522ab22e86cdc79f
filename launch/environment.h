#pragma once

#include <nlohmann/json.hpp>

#include "launch/process.h"

namespace ganymede {

/// What the job runs on, for people who read a run later: time, ranks, threads a rank, hosts, device, processor,
/// versions of Ganymede and libtorch. Collective; each rank gets its own view.
nlohmann::json environment_of(Process& process);

/// "2026-11-21T10:56:00Z"
std::string utc_now();

}  // namespace ganymede
