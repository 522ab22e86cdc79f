#pragma once

#include "launch/command_line.h"

namespace ganymede {

/// `ganymede dataset tokenize`. Returns the exit code.
int tokenize_action(const CommandLine& line);
extern const char* const tokenize_usage;
extern const std::vector<Flag> tokenize_flags;

}  // namespace ganymede
