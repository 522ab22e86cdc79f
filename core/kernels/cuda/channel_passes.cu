#include <algorithm>

#include "core/kernels/channel_arithmetic.h"
#include "core/kernels/cuda/channel_passes_kernel.h"
#include "core/kernels/cuda/element.cuh"

namespace ganymede::cuda {
namespace {

constexpr unsigned threads = 256;
constexpr int most_lanes = 32;
/// Values that are summed in the accumulator's type before they join a float64 sum.
constexpr unsigned chunk = 32;
constexpr unsigned most_blocks_x = 1024, most_blocks_y = 65535;

/// V channels at a time: where rows are a multiple of 4 and so aligned, else one.
constexpr int wide = 4;

bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

bool fits_packs(const ChannelPass& pass) {
  if (pass.channels % wide != 0) return false;
  for (const void* data : {pass.x, pass.g, static_cast<const void*>(pass.out), pass.scale.data,
                           pass.shift.data, pass.mean.data, pass.slope.data, pass.constant.data})
    if (!is_aligned(data)) return false;
  return true;
}

/// Figures of V channels of an image, in registers.
template <class A, int V>
struct Row {
  Pack<A, V> pack;
  Row() = default;
  __device__ Row(const Figures& figures, unsigned image, unsigned channel)
      : pack(load<V>(static_cast<const A*>(figures.data) + image * figures.stride + channel)) {}
  __device__ A operator[](int k) const { return pack.value[k]; }
};

// Passes that write an image.

template <class T, int V>
struct ScaleShift {
  using A = accumulator_t<T>;
  ChannelPass pass;
  __device__ void operator()(unsigned image, std::int64_t at, unsigned channel) const {
    const Row<A, V> scale(pass.scale, image, channel), shift(pass.shift, image, channel);
    const A floor = floor_of<A>(pass.relu);
    const Pack<T, V> x = load<V>(static_cast<const T*>(pass.x) + at);
    Pack<T, V> y;
    for (int k = 0; k < V; ++k)
      y.value[k] = narrow<T>(scale_shift(widen(x.value[k]), scale[k], shift[k], floor));
    *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(pass.out) + at) = y;
  }
};

template <class T, int V>
struct InputGradient {
  using A = accumulator_t<T>;
  ChannelPass pass;
  __device__ void operator()(unsigned image, std::int64_t at, unsigned channel) const {
    const Row<A, V> scale(pass.scale, image, channel), shift(pass.shift, image, channel),
        slope(pass.slope, image, channel), constant(pass.constant, image, channel);
    const A floor = floor_of<A>(pass.relu);
    const Pack<T, V> x = load<V>(static_cast<const T*>(pass.x) + at),
                     g = load<V>(static_cast<const T*>(pass.g) + at);
    Pack<T, V> dx;
    for (int k = 0; k < V; ++k) {
      const A value = widen(x.value[k]);
      const A masked = masked_gradient(widen(g.value[k]), value, scale[k], shift[k], floor);
      dx.value[k] = narrow<T>(input_gradient(masked, value, scale[k], slope[k], constant[k]));
    }
    *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(pass.out) + at) = dx;
  }
};

/// body(image, element, channel) for each pack of V channels.
template <int V, class Body>
__global__ void __launch_bounds__(threads) write_images(const __grid_constant__ Body body) {
  const unsigned channels = static_cast<unsigned>(body.pass.channels);
  const unsigned size = static_cast<unsigned>(body.pass.positions) * channels;
  for (unsigned image = blockIdx.y; image < body.pass.images; image += gridDim.y) {
    const std::int64_t begin = static_cast<std::int64_t>(image) * size;
    for (unsigned i = (blockIdx.x * threads + threadIdx.x) * V; i < size; i += gridDim.x * threads * V)
      body(image, begin + i, i % channels);
  }
}

template <int V, class Body>
cudaError_t start_writing(const Body& body, cudaStream_t stream) {
  const ChannelPass& pass = body.pass;
  if (pass.images == 0) return cudaSuccess;
  const std::int64_t packs = pass.positions * pass.channels / V;
  const dim3 grid(
      static_cast<unsigned>(std::min<std::int64_t>((packs + threads - 1) / threads, most_blocks_x)),
      static_cast<unsigned>(std::min<std::int64_t>(pass.images, most_blocks_y)));
  write_images<V><<<grid, threads, 0, stream>>>(body);
  return cudaGetLastError();
}

// Passes that sum two terms over an image's positions.

/// x - pivot and its square; the pivot is the image's first position.
template <class T, int V>
struct ImageTerms {
  using A = accumulator_t<T>;
  ChannelPass pass;
  Pack<T, V> pivot;
  __device__ void begin(unsigned, std::int64_t first) {
    pivot = load<V>(static_cast<const T*>(pass.x) + first);
  }
  __device__ void add(std::int64_t at, A (&first)[V], A (&second)[V]) const {
    const Pack<T, V> x = load<V>(static_cast<const T*>(pass.x) + at);
    for (int k = 0; k < V; ++k) {
      const A d = widen(x.value[k]) - widen(pivot.value[k]);
      first[k] += d;
      second[k] += d * d;
    }
  }
  __device__ void finish(int k, double count, double& sum, double& square) const {
    move_sums(static_cast<double>(widen(pivot.value[k])), count, sum, square);
  }
};

/// g' and g' (x - mean).
template <class T, int V>
struct GradientTerms {
  using A = accumulator_t<T>;
  ChannelPass pass;
  Row<A, V> scale, shift, mean;
  __device__ void begin(unsigned image, std::int64_t first) {
    const unsigned channel = static_cast<unsigned>(first % pass.channels);
    scale = Row<A, V>(pass.scale, image, channel);
    shift = Row<A, V>(pass.shift, image, channel);
    mean = Row<A, V>(pass.mean, image, channel);
  }
  __device__ void add(std::int64_t at, A (&first)[V], A (&second)[V]) const {
    const A floor = floor_of<A>(pass.relu);
    const Pack<T, V> x = load<V>(static_cast<const T*>(pass.x) + at),
                     g = load<V>(static_cast<const T*>(pass.g) + at);
    for (int k = 0; k < V; ++k) {
      const A value = widen(x.value[k]);
      const A masked = masked_gradient(widen(g.value[k]), value, scale[k], shift[k], floor);
      first[k] += masked;
      second[k] += masked * (value - mean[k]);
    }
  }
  __device__ void finish(int, double, double&, double&) const {}
};

/// What a thread sums for V channels: every blockDim.y-th position of [begin, end).
template <int V, class Terms>
__device__ void sum_positions(const Terms& terms, std::int64_t first, unsigned begin, unsigned end,
                              double (&sum)[V], double (&product)[V]) {
  using A = typename Terms::A;
  const std::int64_t channels = terms.pass.channels;
  const unsigned step = blockDim.y;
  unsigned p = begin + threadIdx.y;
  const unsigned count = p < end ? (end - p + step - 1) / step : 0;
  while (p < end) {
    A one[V] = {}, two[V] = {};
    const unsigned last = min(end, p + chunk * step);
    // Unrolled, so that several loads are under way.
#pragma unroll 4
    for (; p < last; p += step) terms.add(first + p * channels, one, two);
    for (int k = 0; k < V; ++k) {
      sum[k] += static_cast<double>(one[k]);
      product[k] += static_cast<double>(two[k]);
    }
  }
  for (int k = 0; k < V; ++k) terms.finish(k, static_cast<double>(count), sum[k], product[k]);
}

/// Blocks are [rows of positions][lanes of channels]; the grid is [images][tiles of channels][slabs].
template <int V, class Terms>
__global__ void __launch_bounds__(threads) sum_images(Terms terms) {
  __shared__ double shared[2][threads];
  const ChannelPass& pass = terms.pass;
  const unsigned channel = (blockIdx.y * blockDim.x + threadIdx.x) * V;
  const unsigned lane = threadIdx.x, here = threadIdx.y * blockDim.x + lane;
  const unsigned positions = static_cast<unsigned>(pass.positions);
  const unsigned slab = (positions + gridDim.x - 1) / gridDim.x;
  const unsigned begin = min(blockIdx.x * slab, positions), end = min(begin + slab, positions);
  for (unsigned image = blockIdx.z; image < pass.images; image += gridDim.z) {
    double sum[V] = {}, product[V] = {};
    if (channel < pass.channels) {
      const std::int64_t first = image * pass.positions * pass.channels + channel;
      terms.begin(image, first);
      sum_positions<V>(terms, first, begin, end, sum, product);
    }
    for (int k = 0; k < V; ++k) {
      __syncthreads();  // what was read of the sums before
      shared[0][here] = sum[k];
      shared[1][here] = product[k];
      for (unsigned rows = blockDim.y / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (threadIdx.y >= rows) continue;
        shared[0][here] += shared[0][here + rows * blockDim.x];
        shared[1][here] += shared[1][here + rows * blockDim.x];
      }
      if (threadIdx.y > 0 || channel >= pass.channels) continue;
      double* out = pass.sums + (blockIdx.x * 2 * pass.images + image) * pass.channels + channel + k;
      out[0] = shared[0][lane];
      out[pass.images * pass.channels] = shared[1][lane];
    }
  }
}

/// Threads side by side along the channels: a power of two.
int lanes_of(const ChannelPass& pass) {
  const std::int64_t wanted = pass.channels / (fits_packs(pass) ? wide : 1);
  int lanes = 1;
  while (lanes < wanted && lanes < most_lanes) lanes *= 2;
  return lanes;
}

std::int64_t tiles_of(const ChannelPass& pass) {
  const std::int64_t tile = lanes_of(pass) * (fits_packs(pass) ? wide : 1);
  return (pass.channels + tile - 1) / tile;
}

template <int V, class Terms>
cudaError_t start_summing(const Terms& terms, cudaStream_t stream) {
  const ChannelPass& pass = terms.pass;
  if (pass.images == 0) return cudaSuccess;
  const auto lanes = static_cast<unsigned>(lanes_of(pass));
  const dim3 block(lanes, threads / lanes);
  const dim3 grid(static_cast<unsigned>(pass.slabs), static_cast<unsigned>(tiles_of(pass)),
                  static_cast<unsigned>(std::min<std::int64_t>(pass.images, most_blocks_y)));
  sum_images<V><<<grid, block, 0, stream>>>(terms);
  return cudaGetLastError();
}

/// start(T(), V) for the pass's type and packs.
template <class Start>
cudaError_t dispatch(const ChannelPass& pass, const Start& start) {
  const auto with_type = [&](auto type) {
    if (fits_packs(pass)) return start(type, std::integral_constant<int, wide>());
    return start(type, std::integral_constant<int, 1>());
  };
  switch (pass.type) {
    case Element::float64:
      return with_type(double());
    case Element::float32:
      return with_type(float());
    case Element::bfloat16:
      return with_type(__nv_bfloat16());
    case Element::float16:
      return with_type(__half());
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_image_sums(const ChannelPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](auto type, auto width) {
    constexpr int V = decltype(width)::value;
    return start_summing<V>(ImageTerms<decltype(type), V>{pass, {}}, stream);
  });
}

cudaError_t launch_gradient_sums(const ChannelPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](auto type, auto width) {
    constexpr int V = decltype(width)::value;
    return start_summing<V>(GradientTerms<decltype(type), V>{pass, {}, {}, {}}, stream);
  });
}

cudaError_t launch_scale_shift(const ChannelPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](auto type, auto width) {
    constexpr int V = decltype(width)::value;
    return start_writing<V>(ScaleShift<decltype(type), V>{pass}, stream);
  });
}

cudaError_t launch_input_gradient(const ChannelPass& pass, cudaStream_t stream) {
  return dispatch(pass, [&](auto type, auto width) {
    constexpr int V = decltype(width)::value;
    return start_writing<V>(InputGradient<decltype(type), V>{pass}, stream);
  });
}

std::int64_t blocks_a_slab(const ChannelPass& pass) {
  return pass.images * tiles_of(pass);
}

std::int64_t least_slab(const ChannelPass& pass) {
  return static_cast<std::int64_t>(threads) / lanes_of(pass) * 8;
}

}  // namespace ganymede::cuda
