#pragma once

#include <span>
#include <vector>

#include "launch/command_line.h"

namespace ganymede {

/// A command's flags, with those for how a run draws before its last, --help: the solver of a diffusion model, what is
/// translated, ... Each is an option of the run, which it changes for this once; but for --classifier and its
/// scale, which read_classifier() reads.
std::vector<Flag> with_sampler_flags(std::span<const Flag> flags);

/// Those that were given, as options of the run.
Settings sampler_settings(const CommandLine& line);

}  // namespace ganymede
