#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/recipe.h"
#include "launch/text.h"

namespace ganymede {

int models_command(std::span<const std::string> arguments) {
  const Flag flags[] = {{"help", "", "this text"}};
  if (parse_command_line(arguments, flags, {}).has("help")) {
    fmt::print(
        "usage: ganymede models\n\nLists every recipe with the exact number of parameters of each "
        "network.\n{}",
        flag_help(flags));
    return 0;
  }
  fmt::print("{:<26} {:<14} {:>14}\n", "recipe", "network", "parameters");
  for (const auto& [name, path] : recipes()) {
    const RunOptions options({read_recipe(path)});
    for (const auto& [network, count] : options.method->parameter_counts())
      fmt::print("{:<26} {:<14} {:>14}\n", name, network, with_thousands(count));
  }
  return 0;
}

}  // namespace ganymede
