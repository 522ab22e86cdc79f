#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "launch/commands.h"
#include "launch/recipe.h"
#include "tests/folder_names.h"

namespace ganymede {
namespace {

TEST(Commands, AreThoseOfTheirFolder) {
  std::set<std::string> names;
  for (const Command& command : commands()) {
    std::string file = command.name;
    std::ranges::replace(file, '-', '_');
    EXPECT_TRUE(names.insert(file).second) << command.name;
  }
  EXPECT_EQ(names, names_in("launch/commands", ".cpp"));
}

TEST(Commands, AnUnknownNameGetsTheNearest) {
  EXPECT_STREQ(find_command("train").name, "train");
  try {
    find_command("trian");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "unknown command 'trian': did you mean train?");
  }
}

TEST(Recipes, AreThoseOfTheirFolder) {
  std::set<std::string> names;
  for (const auto& [name, path] : recipes()) names.insert(name);
  EXPECT_EQ(names, names_in("launch/recipes", ".cfg"));
  EXPECT_FALSE(names.empty());
}

TEST(Recipes, ResolveAndFitTogether) {
  for (const auto& [name, path] : recipes()) {
    SCOPED_TRACE(name);
    const RunOptions options({read_recipe(path)});
    EXPECT_NO_THROW(options.check(1));
    EXPECT_FALSE(options.method->parameter_counts().empty());
    // What a run folder keeps is what the recipe says.
    const RunOptions again({parse_recipe(options.schema.to_recipe(), "kept")});
    EXPECT_EQ(again.schema.to_recipe(), options.schema.to_recipe());
  }
}

}  // namespace
}  // namespace ganymede
