#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/recipe.h"
#include "launch/text.h"

namespace ganymede {

int models_command(std::span<const std::string> arguments) {
  const Flag flags[] = {{"help", "", "this text"}};
  const CommandLine line = parse_command_line(arguments, flags, {});
  if (line.has("help")) {
    fmt::print(
        "usage: ganymede models [RECIPE ...]\n\nLists these recipes, or all, with the exact number of parameters of each "
        "network.\nThat of LPIPS is given by its user, or left out, and learns nothing.\n{}",
        flag_help(flags));
    return 0;
  }
  std::map<std::string, std::string> listed;
  for (const std::string& recipe : line.positional) listed[recipe] = recipe_path(recipe);
  fmt::print("{:<26} {:<14} {:>14}\n", "recipe", "network", "parameters");
  for (const auto& [name, path] : listed.empty() ? recipes() : listed) {
    const RunOptions options({read_recipe(path)});
    for (const auto& [network, count] : options.method->parameter_counts())
      fmt::print("{:<26} {:<14} {:>14}\n", name, network, with_thousands(count));
  }
  return 0;
}

}  // namespace ganymede
