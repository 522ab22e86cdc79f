#pragma once

#include "core/tap_map.h"

namespace ganymede::cpu {

/// map_taps() and gather_taps() of core/tap_map.h on the CPU, with the scale 1 / sigma.
at::Tensor map_taps(const TapMap& map, const at::Tensor& w, double scale, at::ScalarType type);
GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like, double scale);

}  // namespace ganymede::cpu
