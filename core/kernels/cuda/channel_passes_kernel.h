#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// One row of figures an image, float64 for float64 images and float32 otherwise.
struct Figures {
  const void* data;
  std::int64_t stride;  ///< elements from an image's row to the next one's; 0: all images share it
};

/// The arguments of all passes; each uses what it needs. Images lie as [images][positions][channels].
struct ChannelPass {
  Element type;
  std::int64_t images, positions, channels;  ///< positions * channels < 2^31
  bool relu;
  const void* x;
  const void* g;
  void* out;  ///< like x
  Figures scale, shift, mean, slope, constant;
  double* sums;  ///< [slabs][2][images][channels]
  int slabs;     ///< parts that the positions of an image are cut into for sums
};

/// Each starts one kernel on `stream`, which belongs to the current device.
cudaError_t launch_image_sums(const ChannelPass& pass, cudaStream_t stream);
cudaError_t launch_gradient_sums(const ChannelPass& pass, cudaStream_t stream);
cudaError_t launch_scale_shift(const ChannelPass& pass, cudaStream_t stream);
cudaError_t launch_input_gradient(const ChannelPass& pass, cudaStream_t stream);

/// Blocks of a kernel of sums, but for slabs.
std::int64_t blocks_a_slab(const ChannelPass& pass);
/// The least positions that a slab is worth.
std::int64_t least_slab(const ChannelPass& pass);

}  // namespace ganymede::cuda
