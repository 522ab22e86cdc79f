#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// TapMap (core/tap_map.h) and its adjoint, as kernels read them.
struct TapTable {
  static constexpr int most_outputs = 16, most_inputs = 9, most_sources = 4;
  int inputs, outputs, phases;
  double factor;
  int sources[most_outputs];               ///< of phase * outputs + t
  int source[most_outputs][most_sources];  ///< input positions
  int targets[most_inputs];                ///< of an input position
  int target[most_inputs][most_sources];   ///< phase * outputs + t
};

/// w [channels, inputs, width] of `weight` (float64 or float32); mapped [phases * channels, outputs, width]
/// of `type`; both of less than 2^31 elements. sigma: of `weight`, or null.
struct TapPass {
  Element weight, type;
  TapTable taps;
  std::int64_t channels, width;
  const void* w;
  const void* sigma;
  void* mapped;      ///< map: written; gather: the gradient, read
  void* rows;        ///< gather: like w, written
  double* products;  ///< gather: [gather_blocks()], each block's part of the inner product
};

cudaError_t launch_map_taps(const TapPass& pass, cudaStream_t stream);
cudaError_t launch_gather_taps(const TapPass& pass, cudaStream_t stream);
std::int64_t gather_blocks(const TapPass& pass);

}  // namespace ganymede::cuda
