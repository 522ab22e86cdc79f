#pragma once

#include <string>

#include "core/named_tensors.h"

namespace ganymede {

/// XXH3-64 in 16 digits of names, shapes and values as float32, in the order of the names: what a file's
/// format, order and storage type do not change.
std::string weights_digest(NamedTensors weights);

}  // namespace ganymede
