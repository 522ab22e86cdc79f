#pragma once

#include "launch/command_line.h"

namespace ganymede {

/// `ganymede dataset encode`: the one action of `dataset` that all ranks of a job share. Returns the exit code.
int encode_action(const CommandLine& line);
extern const char* const encode_usage;
extern const std::vector<Flag> encode_flags;

}  // namespace ganymede
