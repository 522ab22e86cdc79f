#include "core/kernels/cpu/channel_passes.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/kernels/channel_arithmetic.h"
#include "core/kernels/cpu/images.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void sum_image(const T* __restrict x, Extent extent, A* __restrict scratch,
                               double* __restrict sum, double* __restrict square) {
  const std::int64_t channels = extent.channels;
  A* __restrict pivot = scratch;
  A* __restrict first = scratch + channels;
  A* __restrict second = scratch + 2 * channels;
  const std::int64_t sample = extent.positions < positions_at_once ? extent.positions : positions_at_once;
  for (std::int64_t c = 0; c < channels; ++c) pivot[c] = 0;
  for (std::int64_t p = 0; p < sample; ++p)
    for (std::int64_t c = 0; c < channels; ++c) pivot[c] += load(x + p * channels + c);
  for (std::int64_t c = 0; c < channels; ++c) {
    pivot[c] /= static_cast<A>(sample);
    sum[c] = square[c] = 0;
  }
  for (std::int64_t begin = 0; begin < extent.positions; begin += positions_at_once) {
    const std::int64_t end =
        begin + positions_at_once < extent.positions ? begin + positions_at_once : extent.positions;
    for (std::int64_t c = 0; c < channels; ++c) first[c] = second[c] = 0;
    for (std::int64_t p = begin; p < end; ++p)
      for (std::int64_t c = 0; c < channels; ++c) {
        const A d = load(x + p * channels + c) - pivot[c];
        first[c] += d;
        second[c] += d * d;
      }
    for (std::int64_t c = 0; c < channels; ++c) {
      sum[c] += static_cast<double>(first[c]);
      square[c] += static_cast<double>(second[c]);
    }
  }
  for (std::int64_t c = 0; c < channels; ++c)
    move_sums(static_cast<double>(pivot[c]), static_cast<double>(extent.positions), sum[c], square[c]);
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void scale_shift_image(const T* __restrict x, Extent extent, const A* __restrict scale,
                                       const A* __restrict shift, bool relu, T* __restrict y) {
  const A floor = floor_of<A>(relu);
  for (std::int64_t p = 0; p < extent.positions; ++p)
    for (std::int64_t c = 0; c < extent.channels; ++c) {
      const std::int64_t i = p * extent.channels + c;
      store(y + i, ganymede::scale_shift(load(x + i), scale[c], shift[c], floor));
    }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gradient_sums_image(const T* __restrict g, const T* __restrict x, Extent extent,
                                         const A* __restrict scale, const A* __restrict shift,
                                         const A* __restrict mean, bool relu, A* __restrict scratch,
                                         double* __restrict sum, double* __restrict product) {
  const std::int64_t channels = extent.channels;
  const A floor = floor_of<A>(relu);
  A* __restrict first = scratch;
  A* __restrict second = scratch + channels;
  for (std::int64_t c = 0; c < channels; ++c) sum[c] = product[c] = 0;
  for (std::int64_t begin = 0; begin < extent.positions; begin += positions_at_once) {
    const std::int64_t end =
        begin + positions_at_once < extent.positions ? begin + positions_at_once : extent.positions;
    for (std::int64_t c = 0; c < channels; ++c) first[c] = second[c] = 0;
    for (std::int64_t p = begin; p < end; ++p)
      for (std::int64_t c = 0; c < channels; ++c) {
        const A value = load(x + p * channels + c);
        const A masked = masked_gradient(load(g + p * channels + c), value, scale[c], shift[c], floor);
        first[c] += masked;
        second[c] += masked * (value - mean[c]);
      }
    for (std::int64_t c = 0; c < channels; ++c) {
      sum[c] += static_cast<double>(first[c]);
      product[c] += static_cast<double>(second[c]);
    }
  }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void input_gradient_image(const T* __restrict g, const T* __restrict x, Extent extent,
                                          const A* __restrict scale, const A* __restrict shift,
                                          const A* __restrict slope, const A* __restrict constant, bool relu,
                                          T* __restrict dx) {
  const A floor = floor_of<A>(relu);
  for (std::int64_t p = 0; p < extent.positions; ++p)
    for (std::int64_t c = 0; c < extent.channels; ++c) {
      const std::int64_t i = p * extent.channels + c;
      const A value = load(x + i);
      const A masked = masked_gradient(load(g + i), value, scale[c], shift[c], floor);
      store(dx + i, ganymede::input_gradient(masked, value, scale[c], slope[c], constant[c]));
    }
}

// The clones: templates have none.
#define GANYMEDE_CHANNEL_PASSES(T, A)                                                                   \
  GANYMEDE_VECTOR_CLONES void sum_clone(const T* x, Extent extent, A* scratch, double* sum,             \
                                        double* square) {                                               \
    sum_image(x, extent, scratch, sum, square);                                                         \
  }                                                                                                     \
  GANYMEDE_VECTOR_CLONES void scale_clone(const T* x, Extent extent, const A* scale, const A* shift,    \
                                          bool relu, T* y) {                                            \
    scale_shift_image(x, extent, scale, shift, relu, y);                                                \
  }                                                                                                     \
  GANYMEDE_VECTOR_CLONES void gradient_clone(const T* g, const T* x, Extent extent, const A* scale,     \
                                             const A* shift, const A* mean, bool relu, A* scratch,      \
                                             double* sum, double* product) {                            \
    gradient_sums_image(g, x, extent, scale, shift, mean, relu, scratch, sum, product);                 \
  }                                                                                                     \
  GANYMEDE_VECTOR_CLONES void input_clone(const T* g, const T* x, Extent extent, const A* scale,        \
                                          const A* shift, const A* slope, const A* constant, bool relu, \
                                          T* dx) {                                                      \
    input_gradient_image(g, x, extent, scale, shift, slope, constant, relu, dx);                        \
  }
GANYMEDE_CHANNEL_PASSES(float, float)
GANYMEDE_CHANNEL_PASSES(double, double)
GANYMEDE_CHANNEL_PASSES(BFloat16, float)
GANYMEDE_CHANNEL_PASSES(Half, float)
#undef GANYMEDE_CHANNEL_PASSES

}  // namespace

at::Tensor image_sums(const at::Tensor& x) {
  const Images images(x);
  const std::int64_t channels = images.extent.channels;
  at::Tensor sums = at::empty({2, images.count, channels}, x.options().dtype(at::kDouble));
  double* out = sums.data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "image_sums", [&] {
    const scalar_t* in = x.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      std::vector<accumulator_t<scalar_t>> scratch(static_cast<std::size_t>(3 * channels));
      sum_clone(in + n * images.size(), images.extent, scratch.data(), out + n * channels,
                out + (images.count + n) * channels);
    });
  });
  return sums;
}

at::Tensor scale_shift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, bool relu) {
  const Images images(x);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "scale_shift", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images);
    const scalar_t* in = x.data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      scale_clone(in + n * images.size(), images.extent, scales[n], shifts[n], relu, out + n * images.size());
    });
  });
  return y;
}

at::Tensor gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                         const at::Tensor& shift, const at::Tensor& mean, bool relu) {
  const Images images(x);
  expect_like(x, g);
  const std::int64_t channels = images.extent.channels;
  at::Tensor sums = at::empty({2, images.count, channels}, x.options().dtype(at::kDouble));
  double* out = sums.data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "gradient_sums", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images), means(mean, images);
    const scalar_t* in = x.data_ptr<scalar_t>();
    const scalar_t* gradient = g.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      std::vector<A> scratch(static_cast<std::size_t>(2 * channels));
      gradient_clone(gradient + n * images.size(), in + n * images.size(), images.extent, scales[n],
                     shifts[n], means[n], relu, scratch.data(), out + n * channels,
                     out + (images.count + n) * channels);
    });
  });
  return sums.to(figure_type(x));
}

at::Tensor input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                          const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant,
                          bool relu) {
  const Images images(x);
  expect_like(x, g);
  at::Tensor dx = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "input_gradient", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images), slopes(slope, images),
        constants(constant, images);
    const scalar_t* in = x.data_ptr<scalar_t>();
    const scalar_t* gradient = g.data_ptr<scalar_t>();
    scalar_t* out = dx.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      input_clone(gradient + n * images.size(), in + n * images.size(), images.extent, scales[n], shifts[n],
                  slopes[n], constants[n], relu, out + n * images.size());
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
