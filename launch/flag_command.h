#pragma once

#include "launch/command_line.h"
#include "launch/process.h"

namespace ganymede {

/// The body of a subcommand that all ranks run and that takes flags alone: prints `help()` where it is asked for, else
/// hands what `read(CommandLine)` made of the flags to `act(Process&, Request)`. Ranks agree on what `read` throws.
/// Returns the exit code.
template <class Help, class Read, class Act>
int run_flag_command(std::span<const std::string> arguments, std::span<const Flag> flags, Help help,
                     Read read, Act act) {
  return run_as_rank([&](Process& process) {
    CommandLine line;
    decltype(read(line)) request;
    process.together([&] {
      line = parse_command_line(arguments, flags, {});
      if (!line.has("help")) request = read(line);
    });
    if (!line.has("help")) return act(process, std::move(request));
    if (process.is_root()) fmt::print("{}", help());
    return ExitCode::done;
  });
}

}  // namespace ganymede
