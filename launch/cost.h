#pragma once

#include "launch/recipe.h"

namespace ganymede {

/// The context that a run with these options gives its method on `device`.
MethodContext method_context(const RunOptions& options, Communicator& gradients, Communicator& batch_norm,
                             at::Device device = at::kCPU);

/// What --dry-run prints: the resolved options, each network's parameters, a rank's memory for weights,
/// gradients, moments and averages, and a step's collectives and bytes, counted on the networks themselves.
std::string dry_run_text(const RunOptions& options, int world_size);

}  // namespace ganymede
