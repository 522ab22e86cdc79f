#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// images [count][channels][height][width] bytes; out [count][height][width][channels] of `type`. Less than
/// 2^31 values in all.
struct PixelPass {
  Element type;
  std::int64_t count, channels, height, width;
  const std::uint8_t* bytes;
  const bool* flips;  ///< [count]
  void* out;
};

cudaError_t launch_pixels(const PixelPass& pass, cudaStream_t stream);

}  // namespace ganymede::cuda
