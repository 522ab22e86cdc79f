#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

namespace ganymede::cuda {

/// What sums and products of T are computed in.
template <class T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};
template <class T>
using accumulator_t = typename Accumulator<T>::type;

__device__ __forceinline__ float widen(float x) {
  return x;
}
__device__ __forceinline__ double widen(double x) {
  return x;
}
__device__ __forceinline__ float widen(__half x) {
  return __half2float(x);
}
__device__ __forceinline__ float widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

/// Rounds to nearest, ties to even.
template <class T, class A>
__device__ __forceinline__ T narrow(A x) {
  if constexpr (sizeof(T) == 2) {
    if constexpr (std::is_same_v<T, __half>)
      return __float2half_rn(static_cast<float>(x));
    else
      return __float2bfloat16_rn(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

/// V neighbours that are loaded and stored at once: aligned to all of them, but to 16 bytes at most.
template <class T, int V>
struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Pack {
  T value[V];
};

template <int V, class T>
__device__ __forceinline__ Pack<T, V> load(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}

/// The sum over a block of 256 threads, in a fixed order, for thread 0. All threads call it.
__device__ __forceinline__ double block_sum(double mine, double (&shared)[256]) {
  shared[threadIdx.x] = mine;
  for (unsigned half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[0];
}

}  // namespace ganymede::cuda
