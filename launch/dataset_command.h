#pragma once

#include <span>
#include <string>

namespace ganymede {

/// `ganymede dataset pack|info|verify ...`; `arguments` begin after "dataset". Prints its result to stdout
/// and its progress to stderr. Returns 0; throws Error(options) for arguments that make no sense,
/// Error(dataset) for damaged files or sources, Error(storage) for a disk that fails.
int dataset_command(std::span<const std::string> arguments);

}  // namespace ganymede
