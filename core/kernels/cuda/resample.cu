#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/kernels/cuda/element.cuh"
#include "core/kernels/cuda/resample_kernel.h"
#include "core/kernels/resample_arithmetic.h"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::int64_t most_blocks = 8192;
/// What a kernel takes at once, so that its indices have 32 bits.
constexpr std::int64_t most_values = std::int64_t{1} << 30;
/// Channels at a time: where they are a multiple of 4 and so aligned, else one.
constexpr int wide = 4;

bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

template <class A>
struct Axis {
  int up, down, before, inputs, size;
  A rim, middle;  ///< the filter's outer and inner taps, times the gain
  explicit Axis(const ResampleAxis& axis)
      : up(axis.up),
        down(axis.down),
        before(axis.before),
        inputs(axis.inputs),
        size(axis.size),
        rim(static_cast<A>(filter_tap(0) * axis.gain)),
        middle(static_cast<A>(filter_tap(1) * axis.gain)) {}
  __device__ AxisTaps<int> taps(unsigned out) const {
    return axis_taps(up, down, before, inputs, static_cast<int>(out));
  }
  __device__ A weight(int tap) const { return tap == 0 || tap == filter_taps - 1 ? rim : middle; }
};

/// A part of the images that 32 bits count.
template <class T>
struct Part {
  using Value = T;
  Axis<accumulator_t<T>> rows, columns;
  unsigned count, channels;  ///< values of the result, and of a place
  const T* x;
  T* out;
};

/// As the CPU does: rows are summed first, then their places.
template <class T, int V>
__global__ void __launch_bounds__(threads) filter(const __grid_constant__ Part<T> part) {
  using A = accumulator_t<T>;
  const Axis<A>&rows = part.rows, &columns = part.columns;
  const unsigned channels = part.channels, pitch = static_cast<unsigned>(columns.inputs) * channels;
  for (unsigned i = (blockIdx.x * threads + threadIdx.x) * V; i < part.count; i += gridDim.x * threads * V) {
    const unsigned channel = i % channels, place = i / channels;
    const unsigned column = place % columns.size, above = place / columns.size;
    const unsigned row = above % rows.size, image = above / rows.size;
    const AxisTaps<int> down = rows.taps(row), across = columns.taps(column);
    const T* const from = part.x + image * rows.inputs * pitch + channel;
    A sums[V] = {};
    for (int s = across.begin; s < across.end; ++s) {
      const T* const at = from + (across.first + s) * channels;
      A mixed[V] = {};
      for (int t = down.begin; t < down.end; ++t) {
        const Pack<T, V> x = load<V>(at + (down.first + t) * pitch);
        const A weight = rows.weight(down.tap + t * rows.up);
        for (int k = 0; k < V; ++k) mixed[k] += weight * widen(x.value[k]);
      }
      const A weight = columns.weight(across.tap + s * columns.up);
      for (int k = 0; k < V; ++k) sums[k] += weight * mixed[k];
    }
    Pack<T, V> y;
    for (int k = 0; k < V; ++k) y.value[k] = narrow<T>(sums[k]);
    *reinterpret_cast<Pack<T, V>*>(part.out + i) = y;
  }
}

template <class T, int V>
cudaError_t start(const ResamplePass& pass, cudaStream_t stream) {
  using A = accumulator_t<T>;
  const std::int64_t before = pass.channels * pass.rows.inputs * pass.columns.inputs,
                     after = pass.channels * pass.rows.size * pass.columns.size;
  const std::int64_t at_once = std::max<std::int64_t>(most_values / std::max(before, after), 1);
  for (std::int64_t first = 0; first < pass.images; first += at_once) {
    const std::int64_t count = std::min(at_once, pass.images - first) * after;
    const Part<T> part{Axis<A>(pass.rows),
                       Axis<A>(pass.columns),
                       static_cast<unsigned>(count),
                       static_cast<unsigned>(pass.channels),
                       static_cast<const T*>(pass.x) + first * before,
                       static_cast<T*>(pass.out) + first * after};
    const std::int64_t packs = count / V;
    const auto blocks = static_cast<unsigned>(std::min((packs + threads - 1) / threads, most_blocks));
    filter<T, V><<<blocks, threads, 0, stream>>>(part);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <class T>
cudaError_t with_packs(const ResamplePass& pass, cudaStream_t stream) {
  return pass.channels % wide == 0 && is_aligned(pass.x) && is_aligned(pass.out)
             ? start<T, wide>(pass, stream)
             : start<T, 1>(pass, stream);
}

}  // namespace

cudaError_t launch_resample(const ResamplePass& pass, cudaStream_t stream) {
  switch (pass.type) {
    case Element::float64:
      return with_packs<double>(pass, stream);
    case Element::float32:
      return with_packs<float>(pass, stream);
    case Element::bfloat16:
      return with_packs<__nv_bfloat16>(pass, stream);
    case Element::float16:
      return with_packs<__half>(pass, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace ganymede::cuda
