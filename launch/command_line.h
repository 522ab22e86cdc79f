#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/options.h"

namespace ganymede {

/// A subcommand's own option, beside the `--section.key value` of the schema.
struct Flag {
  std::string name;
  std::string argument;  ///< what to show in help; empty for a switch
  std::string help;
  bool many = false;  ///< takes several values: --data A.h5 B.h5
};

/// A command line, read but not yet understood.
struct CommandLine {
  std::map<std::string, std::vector<std::string>> flags;
  Settings settings;  ///< `--section.key value`, origin "command line"
  std::vector<std::string> positional;

  bool has(const std::string& flag) const { return flags.contains(flag); }
  /// The value of a flag that was given, else `otherwise`.
  std::string value(const std::string& flag, const std::string& otherwise = {}) const;
  std::int64_t integer(const std::string& flag, std::int64_t otherwise, Range range) const;
  /// Throws Error(options) that says what the flag is for.
  const std::string& required(const std::string& flag, const std::string& what) const;
};

/// Reads `--name value`, `--name=value`, switches and positional arguments. Names with a dot must be in
/// `keys`, others in `flags` (unless `lenient`: then unknown ones are passed over). Throws Error(options):
/// an unknown name (with the nearest known one), one that is given twice or lacks its value, a value for a
/// switch.
CommandLine parse_command_line(std::span<const std::string> arguments, std::span<const Flag> flags,
                               std::span<const std::string> keys, bool lenient = false);

/// One line a flag.
std::string flag_help(std::span<const Flag> flags);

}  // namespace ganymede
