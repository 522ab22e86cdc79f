#include <algorithm>

#include "core/kernels/adam_arithmetic.h"
#include "core/kernels/cuda/adam_kernel.h"

namespace ganymede::cuda {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void __launch_bounds__(threads) adam(const AdamArguments<T> a) {
  T size = a.size, correction = a.correction;
  if (a.gate.figures != nullptr) {
    if (a.gate.figures[0] != 0) return;
    __shared__ T shared[2];
    if (threadIdx.x == 0) {
      const double t = a.gate.t - a.gate.figures[1];
      shared[0] = static_cast<T>(adam_size(a.gate.lr, a.gate.beta1, t));
      shared[1] = static_cast<T>(adam_correction(a.gate.beta2, t));
    }
    __syncthreads();
    size = shared[0];
    correction = shared[1];
  }
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * threads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; i < a.count;
       i += stride) {
    const T g = a.gradient[i] * a.gradient_scale;
    const T m = a.beta1 * a.m[i] + a.rest1 * g;
    const T v = a.beta2 * a.v[i] + a.rest2 * g * g;
    const T w = a.kept * a.weights[i] - size * m / (sqrt(v) * correction + a.eps);
    a.m[i] = m;
    a.v[i] = v;
    a.weights[i] = w;
    // A bound that the compiler knows keeps the arrays among the kernel's constants.
#pragma unroll
    for (int k = 0; k < AdamArguments<T>::most_averages; ++k)
      if (k < a.averages) {
        const T e = a.average[k][i];
        // e + (w - e) is not w once rounded.
        a.average[k][i] = a.average_rest[k] == T(1) ? w : e + a.average_rest[k] * (w - e);
      }
  }
}

}  // namespace

template <class T>
cudaError_t launch_adam(const AdamArguments<T>& arguments, int blocks, cudaStream_t stream) {
  if (arguments.count == 0) return cudaSuccess;
  const std::int64_t wanted = (arguments.count + threads - 1) / threads;
  adam<T><<<static_cast<unsigned>(std::min<std::int64_t>(wanted, blocks)), threads, 0, stream>>>(arguments);
  return cudaGetLastError();
}

template cudaError_t launch_adam(const AdamArguments<float>&, int, cudaStream_t);
template cudaError_t launch_adam(const AdamArguments<double>&, int, cudaStream_t);

}  // namespace ganymede::cuda
