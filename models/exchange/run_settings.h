#pragma once

#include "core/options.h"

namespace ganymede {

/// Options between a struct that describes itself and a run's settings, resolved or not.

/// What a run says of a component; what it does not say has its default.
template <class Options>
Options options_in(const Settings& run) {
  Options options;
  OptionSchema schema;
  options.describe(schema);
  Settings own;
  for (const std::string& key : schema.keys())
    if (const auto setting = run.find(key); setting != run.end()) own.insert(*setting);
  schema.apply(own);
  return options;
}

/// All of a component's options.
template <class Options>
Settings settings_of(Options options) {
  OptionSchema schema;
  options.describe(schema);
  return parse_recipe(schema.to_recipe(), "import");
}

}  // namespace ganymede
