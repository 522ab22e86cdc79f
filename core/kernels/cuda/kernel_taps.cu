#include <algorithm>

#include "core/kernels/cuda/element.cuh"
#include "core/kernels/cuda/kernel_taps_kernel.h"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
// Each thread then has several elements, and the products few parts.
constexpr std::int64_t most_blocks = 1024;

std::int64_t blocks_for(std::int64_t elements) {
  return std::min((elements + threads - 1) / threads, most_blocks);
}

template <class W>
__device__ W scale_of(const TapPass& pass) {
  const double sigma = pass.sigma ? static_cast<double>(*static_cast<const W*>(pass.sigma)) : 1;
  return static_cast<W>(pass.taps.factor / sigma);
}

/// mapped[phase, o, t, i] of the weight's inputs.
template <class W, class T>
__global__ void __launch_bounds__(threads) map_kernel(const __grid_constant__ TapPass pass) {
  const TapTable& taps = pass.taps;
  const auto channels = static_cast<unsigned>(pass.channels), width = static_cast<unsigned>(pass.width);
  const unsigned outputs = taps.outputs, row = taps.inputs * width;
  const unsigned count = taps.phases * channels * outputs * width;
  const W scale = scale_of<W>(pass);
  for (unsigned e = blockIdx.x * threads + threadIdx.x; e < count; e += gridDim.x * threads) {
    const unsigned i = e % width, rest = e / width;
    const unsigned t = rest % outputs, o = rest / outputs % channels, phase = rest / outputs / channels;
    const unsigned output = phase * outputs + t;
    const W* w = static_cast<const W*>(pass.w) + o * row + i;
    W sum = 0;
    for (int j = 0; j < taps.sources[output]; ++j) sum += w[taps.source[output][j] * width];
    static_cast<T*>(pass.mapped)[e] = narrow<T>(scale * sum);
  }
}

/// rows[o, k, i] of the gradient's outputs, and their product with the weight.
template <class W, class T>
__global__ void __launch_bounds__(threads) gather_kernel(const __grid_constant__ TapPass pass) {
  __shared__ double shared[threads];
  const TapTable& taps = pass.taps;
  const auto channels = static_cast<unsigned>(pass.channels), width = static_cast<unsigned>(pass.width);
  const unsigned inputs = taps.inputs, outputs = taps.outputs;
  const unsigned count = channels * inputs * width;
  const W scale = scale_of<W>(pass);
  double product = 0;
  for (unsigned e = blockIdx.x * threads + threadIdx.x; e < count; e += gridDim.x * threads) {
    const unsigned i = e % width, rest = e / width;
    const unsigned k = rest % inputs, o = rest / inputs;
    W sum = 0;
    for (int j = 0; j < taps.targets[k]; ++j) {
      const unsigned phase = taps.target[k][j] / outputs, t = taps.target[k][j] % outputs;
      sum += static_cast<W>(
          widen(static_cast<const T*>(pass.mapped)[((phase * channels + o) * outputs + t) * width + i]));
    }
    const W value = scale * sum;
    static_cast<W*>(pass.rows)[e] = value;
    product += static_cast<double>(value) * static_cast<double>(static_cast<const W*>(pass.w)[e]);
  }
  product = block_sum(product, shared);
  if (threadIdx.x == 0) pass.products[blockIdx.x] = product;
}

/// start(W(), T()) for the pass's types.
template <class Start>
cudaError_t dispatch(const TapPass& pass, const Start& start) {
  const auto with_weight = [&](auto weight) {
    if (pass.type == pass.weight) return start(weight, weight);
    if (pass.type == Element::bfloat16) return start(weight, __nv_bfloat16());
    if (pass.type == Element::float16) return start(weight, __half());
    return cudaErrorInvalidValue;
  };
  if (pass.weight == Element::float64) return with_weight(double());
  if (pass.weight == Element::float32) return with_weight(float());
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_map_taps(const TapPass& pass, cudaStream_t stream) {
  const TapTable& taps = pass.taps;
  const std::int64_t blocks = blocks_for(taps.phases * pass.channels * taps.outputs * pass.width);
  return dispatch(pass, [&](auto weight, auto type) {
    map_kernel<decltype(weight), decltype(type)><<<static_cast<unsigned>(blocks), threads, 0, stream>>>(pass);
    return cudaGetLastError();
  });
}

cudaError_t launch_gather_taps(const TapPass& pass, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(gather_blocks(pass));
  return dispatch(pass, [&](auto weight, auto type) {
    gather_kernel<decltype(weight), decltype(type)><<<blocks, threads, 0, stream>>>(pass);
    return cudaGetLastError();
  });
}

std::int64_t gather_blocks(const TapPass& pass) {
  return blocks_for(pass.channels * pass.taps.inputs * pass.width);
}

}  // namespace ganymede::cuda
