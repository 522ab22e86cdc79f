#pragma once

#include "core/tap_map.h"

namespace ganymede::cuda {

/// map_taps() and gather_taps() of core/tap_map.h on a CUDA device, for maps of at most 16 positions from at
/// most 9, each of which is used at most four times. The product is summed in a fixed order. They throw
/// Error(options) in a build without CUDA (no_cuda.cpp).
at::Tensor map_taps(const TapMap& map, const at::Tensor& w, const at::Tensor& sigma, at::ScalarType type);
GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like,
                         const at::Tensor& sigma);

}  // namespace ganymede::cuda
