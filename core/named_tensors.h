#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace ganymede {

/// Tensors by name, in an order that is the same on every rank.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

}  // namespace ganymede
