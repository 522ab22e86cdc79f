#include "launch/actions.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace ganymede {
namespace {

const Action& find_action(const char* command, std::span<const Action> actions,
                          const std::vector<std::string>& names, const std::string& name) {
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return actions[static_cast<std::size_t>(found - names.begin())];
  const std::string meant = nearest(name, names);
  fail(ExitCode::options, "ganymede {} knows no '{}': {}", command, name,
       meant.empty() ? fmt::format("give one of {}", fmt::join(names, ", "))
                     : fmt::format("did you mean {}?", meant));
}

}  // namespace

int run_action(const char* command, const char* usage, std::span<const Action> actions,
               std::span<const std::string> arguments) {
  std::vector<std::string> names;
  for (const Action& action : actions) names.emplace_back(action.name);
  if (arguments.empty())
    fail(ExitCode::options, "ganymede {}: give {}; --help tells more", command, fmt::join(names, " or "));
  if (arguments.front() == "--help") {
    fmt::print("{}", usage);
    return 0;
  }
  const Action& action = find_action(command, actions, names, arguments.front());
  const CommandLine line = parse_command_line(arguments.subspan(1), action.flags, {});
  if (line.has("help")) {
    fmt::print("{}{}", action.usage, flag_help(action.flags));
    return 0;
  }
  if (line.positional.empty())
    fail(ExitCode::options, "ganymede {} {}: name {}; see --help", command, action.name, action.operand);
  return action.run(line);
}

}  // namespace ganymede
