#include <algorithm>

#include "core/kernels/cuda/element.cuh"
#include "core/kernels/cuda/pixels_kernel.h"
#include "core/kernels/pixel_arithmetic.h"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr std::int64_t most_blocks = 4096;

/// A thread has a position of an image: neighbours read neighbouring bytes of each plane.
template <class T>
__global__ void __launch_bounds__(threads) convert(const __grid_constant__ PixelPass pass) {
  const auto channels = static_cast<unsigned>(pass.channels), width = static_cast<unsigned>(pass.width);
  const unsigned plane = static_cast<unsigned>(pass.height) * width;
  const unsigned positions = static_cast<unsigned>(pass.count) * plane;
  for (unsigned p = blockIdx.x * threads + threadIdx.x; p < positions; p += gridDim.x * threads) {
    const unsigned image = p / plane, in_image = p % plane, x = in_image % width;
    const unsigned from = pass.flips[image] ? in_image - x + (width - 1 - x) : in_image;
    const std::uint8_t* bytes = pass.bytes + image * channels * plane + from;
    T* out = static_cast<T*>(pass.out) + p * channels;
    for (unsigned c = 0; c < channels; ++c)
      out[c] = narrow<T>(pixel_of_byte<accumulator_t<T>>(bytes[c * plane]));
  }
}

template <class T>
cudaError_t start(const PixelPass& pass, cudaStream_t stream) {
  const std::int64_t positions = pass.count * pass.height * pass.width;
  const auto blocks = static_cast<unsigned>(std::min((positions + threads - 1) / threads, most_blocks));
  convert<T><<<blocks, threads, 0, stream>>>(pass);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_pixels(const PixelPass& pass, cudaStream_t stream) {
  switch (pass.type) {
    case Element::float64:
      return start<double>(pass, stream);
    case Element::float32:
      return start<float>(pass, stream);
    case Element::bfloat16:
      return start<__nv_bfloat16>(pass, stream);
    case Element::float16:
      return start<__half>(pass, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace ganymede::cuda
