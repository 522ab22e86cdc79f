#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// AxisResampling (core/resample.h), as the kernel reads it.
struct ResampleAxis {
  int up, down, before, inputs, size;
  double gain;
};

/// x [images][rows.inputs][columns.inputs][channels]; out [images][rows.size][columns.size][channels]. Images of less
/// than 2^31 values.
struct ResamplePass {
  Element type;
  std::int64_t images, channels;
  ResampleAxis rows, columns;
  const void* x;
  void* out;
};

/// Starts one kernel on `stream`, which belongs to the current device; several, for parts, from 2^31 values on.
cudaError_t launch_resample(const ResamplePass& pass, cudaStream_t stream);

}  // namespace ganymede::cuda
