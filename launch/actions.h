#pragma once

#include <span>

#include "launch/command_line.h"

namespace ganymede {

/// What a command does by the word that follows it: `ganymede dataset pack`. One process runs it.
struct Action {
  const char* name;
  const char* usage;
  const std::vector<Flag>& flags;
  const char* operand;  ///< what must be named at least once: "a file"
  int (*run)(const CommandLine& line);
};

/// Finds the action that the arguments name, and runs it or prints its help. `usage` is the help of the whole
/// command. Returns the exit code; throws Error(options) with the nearest known name.
int run_action(const char* command, const char* usage, std::span<const Action> actions,
               std::span<const std::string> arguments);

}  // namespace ganymede
