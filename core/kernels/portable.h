#pragma once

/// Marks a function of one element that the CPU's and the GPU's kernels share.
#ifdef __CUDACC__
#define GANYMEDE_PORTABLE __host__ __device__ __forceinline__
#else
#define GANYMEDE_PORTABLE inline __attribute__((always_inline))
#endif
