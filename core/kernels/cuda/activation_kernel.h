#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// Values lie as [outer][channels][inner], with channels * inner < 2^31.
struct ActivationPass {
  Element type;
  std::int64_t outer, channels, inner;
  double slope, gain, bound;
  const void* x;     ///< gradient: the result y
  const void* bias;  ///< [channels], or null
  const void* g;     ///< gradient: like x
  void* out;         ///< like x
};

/// Each starts its kernel on `stream`, which belongs to the current device; several, for parts, from 2^31 values on.
cudaError_t launch_activation(const ActivationPass& pass, cudaStream_t stream);
cudaError_t launch_activation_gradient(const ActivationPass& pass, cudaStream_t stream);

}  // namespace ganymede::cuda
