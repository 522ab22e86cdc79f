#pragma once

#include "core/named_tensors.h"

namespace ganymede {

/// Tensors by the names that diffusers gives them now: before 2023 it named attention's maps "query", "key", "value"
/// and "proj_attn".
NamedTensors with_present_names(const NamedTensors& theirs);

}  // namespace ganymede
