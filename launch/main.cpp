#include <vector>

#include "core/memory.h"
#include "core/signals.h"
#include "launch/commands.h"
#include "launch/process.h"

namespace {

using namespace ganymede;

void print_help() {
  fmt::print("usage: ganymede COMMAND [OPTION ...]\n\ncommands (ganymede COMMAND --help tells more):\n");
  for (const Command& command : commands()) fmt::print("  {:<10} {}\n", command.name, command.help);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) fail(ExitCode::options, "no command: ganymede --help lists them");
  if (arguments[0] == "--help" || arguments[0] == "help") {
    print_help();
    return 0;
  }
  return find_command(arguments[0]).run(std::span(arguments).subspan(1));
}

}  // namespace

int main(int argc, char** argv) {
  // Before MPI: an unhandled SIGUSR1 kills.
  install_stop_signal();
  ignore_broken_pipes();
  keep_freed_memory();
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& caught) {
    const Error error = as_error(caught);
    print_error(error.what());
    return static_cast<int>(error.code());
  }
}
