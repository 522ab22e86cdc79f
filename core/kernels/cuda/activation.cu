#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/kernels/activation_arithmetic.h"
#include "core/kernels/cuda/activation_kernel.h"
#include "core/kernels/cuda/element.cuh"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::int64_t most_blocks = 4096;
/// What a kernel takes at once, so that its indices have 32 bits; a multiple of 4.
constexpr std::int64_t most_values = std::int64_t{1} << 30;
/// Values at a time: where rows are a multiple of 4 and memory so aligned, else one.
constexpr int wide = 4;

bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

/// Whether each pack lies in one channel, or in as many channels as it has values; and none crosses the end.
bool fits_packs(const ActivationPass& pass) {
  const std::int64_t row = pass.bias ? (pass.inner == 1 ? pass.channels : pass.inner) : pass.outer;
  return row % wide == 0 && is_aligned(pass.x) && is_aligned(pass.g) && is_aligned(pass.out);
}

/// A part of the values that 32 bits count.
template <class T>
struct Part {
  using Value = T;
  unsigned count, channels, inner;
  ActivationScales<accumulator_t<T>> scales;
  const T* x;
  const T* bias;
  const T* g;
  T* out;
};

template <class T, int V>
__global__ void __launch_bounds__(threads) activate(const __grid_constant__ Part<T> part) {
  using A = accumulator_t<T>;
  const T* const bias = part.bias;
  for (unsigned i = (blockIdx.x * threads + threadIdx.x) * V; i < part.count; i += gridDim.x * threads * V) {
    const Pack<T, V> x = load<V>(part.x + i);
    const unsigned channel = bias ? i / part.inner % part.channels : 0;
    Pack<T, V> y;
    for (unsigned k = 0; k < V; ++k) {
      const A added = bias ? widen(bias[part.inner == 1 ? channel + k : channel]) : A(0);
      y.value[k] = narrow<T>(activated(widen(x.value[k]) + added, part.scales));
    }
    *reinterpret_cast<Pack<T, V>*>(part.out + i) = y;
  }
}

template <class T, int V>
__global__ void __launch_bounds__(threads) activate_back(const __grid_constant__ Part<T> part) {
  for (unsigned i = (blockIdx.x * threads + threadIdx.x) * V; i < part.count; i += gridDim.x * threads * V) {
    const Pack<T, V> y = load<V>(part.x + i), g = load<V>(part.g + i);
    Pack<T, V> dx;
    for (int k = 0; k < V; ++k)
      dx.value[k] = narrow<T>(activation_gradient(widen(g.value[k]), widen(y.value[k]), part.scales));
    *reinterpret_cast<Pack<T, V>*>(part.out + i) = dx;
  }
}

/// start(part, V, blocks) for each part, which is whole rows of channels * inner values.
template <class T, class Start>
cudaError_t in_parts(const ActivationPass& pass, const Start& start) {
  const std::int64_t row = pass.channels * pass.inner,
                     rows_at_once = std::max<std::int64_t>(most_values / row, 1);
  const bool packs = fits_packs(pass);
  for (std::int64_t begin = 0; begin < pass.outer; begin += rows_at_once) {
    const std::int64_t first = begin * row, count = std::min(rows_at_once, pass.outer - begin) * row;
    const auto at = [first](const void* data) {
      return data ? static_cast<const T*>(data) + first : nullptr;
    };
    const Part<T> part{static_cast<unsigned>(count),
                       static_cast<unsigned>(pass.channels),
                       static_cast<unsigned>(pass.inner),
                       activation_scales<accumulator_t<T>>(pass.slope, pass.gain, pass.bound),
                       at(pass.x),
                       static_cast<const T*>(pass.bias),
                       at(pass.g),
                       static_cast<T*>(pass.out) + first};
    const std::int64_t loads = packs ? count / wide : count;
    const auto blocks = static_cast<unsigned>(std::min((loads + threads - 1) / threads, most_blocks));
    if (packs)
      start(part, std::integral_constant<int, wide>(), blocks);
    else
      start(part, std::integral_constant<int, 1>(), blocks);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <class Start>
cudaError_t dispatch(const ActivationPass& pass, const Start& start) {
  switch (pass.type) {
    case Element::float64:
      return in_parts<double>(pass, start);
    case Element::float32:
      return in_parts<float>(pass, start);
    case Element::bfloat16:
      return in_parts<__nv_bfloat16>(pass, start);
    case Element::float16:
      return in_parts<__half>(pass, start);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_activation(const ActivationPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](const auto& part, auto width, unsigned blocks) {
    using T = typename std::decay_t<decltype(part)>::Value;
    activate<T, decltype(width)::value><<<blocks, threads, 0, stream>>>(part);
  });
}

cudaError_t launch_activation_gradient(const ActivationPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](const auto& part, auto width, unsigned blocks) {
    using T = typename std::decay_t<decltype(part)>::Value;
    activate_back<T, decltype(width)::value><<<blocks, threads, 0, stream>>>(part);
  });
}

}  // namespace ganymede::cuda
