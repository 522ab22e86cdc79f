#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <span>
#include <string>
#include <vector>

namespace ganymede {

/// Parses the arguments of a subcommand strictly: no abbreviations, each option once. Words that belong to no
/// option are stored as "paths" (a vector of strings), in order.
///
/// Throws Error(options): an unknown option with the nearest known one, a missing or malformed value with the
/// option's help. `command` is the subcommand as typed, e.g. "dataset pack".
boost::program_options::variables_map parse_arguments(
    std::string_view command, const boost::program_options::options_description& options,
    std::span<const std::string> arguments);

/// The words that belong to no option.
std::vector<std::string> paths_of(const boost::program_options::variables_map& values);

}  // namespace ganymede
