#include "core/kernels/cpu/silu_passes.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/kernels/channel_arithmetic.h"
#include "core/kernels/cpu/exponential.h"
#include "core/kernels/cpu/images.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

template <class A>
GANYMEDE_INLINE A silu(A u) {
  return u / (A(1) + exponential(-u));
}

template <class A>
GANYMEDE_INLINE A silu_slope(A u) {
  const A s = A(1) / (A(1) + exponential(-u));
  return s * (A(1) + u * (A(1) - s));
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void scale_shift_image(const T* __restrict x, Extent extent, const A* __restrict scale,
                                       const A* __restrict shift, T* __restrict y) {
  for (std::int64_t p = 0; p < extent.positions; ++p, x += extent.channels, y += extent.channels)
    for (std::int64_t c = 0; c < extent.channels; ++c) store(y + c, silu(load(x + c) * scale[c] + shift[c]));
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gradient_sums_image(const T* __restrict g, const T* __restrict x, Extent extent,
                                         const A* __restrict scale, const A* __restrict shift,
                                         const A* __restrict mean, A* __restrict scratch,
                                         double* __restrict sum, double* __restrict product) {
  const std::int64_t channels = extent.channels;
  A* __restrict first = scratch;
  A* __restrict second = scratch + channels;
  for (std::int64_t c = 0; c < channels; ++c) sum[c] = product[c] = 0;
  for (std::int64_t begin = 0; begin < extent.positions; begin += positions_at_once) {
    const std::int64_t end =
        begin + positions_at_once < extent.positions ? begin + positions_at_once : extent.positions;
    for (std::int64_t c = 0; c < channels; ++c) first[c] = second[c] = 0;
    for (std::int64_t p = begin; p < end; ++p, x += channels, g += channels)
      for (std::int64_t c = 0; c < channels; ++c) {
        const A value = load(x + c);
        const A slope = load(g + c) * silu_slope(value * scale[c] + shift[c]);
        first[c] += slope;
        second[c] += slope * (value - mean[c]);
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
                                          const A* __restrict slope, const A* __restrict constant,
                                          T* __restrict dx) {
  const std::int64_t channels = extent.channels;
  for (std::int64_t p = 0; p < extent.positions; ++p, x += channels, g += channels, dx += channels)
    for (std::int64_t c = 0; c < channels; ++c) {
      const A value = load(x + c);
      const A inner = load(g + c) * silu_slope(value * scale[c] + shift[c]);
      store(dx + c, ganymede::input_gradient(inner, value, scale[c], slope[c], constant[c]));
    }
}

// The clones: templates have none.
#define GANYMEDE_SILU_PASSES(T, A)                                                                           \
  GANYMEDE_VECTOR_CLONES void scale_clone(const T* x, Extent extent, const A* scale, const A* shift, T* y) { \
    scale_shift_image(x, extent, scale, shift, y);                                                           \
  }                                                                                                          \
  GANYMEDE_VECTOR_CLONES void gradient_clone(const T* g, const T* x, Extent extent, const A* scale,          \
                                             const A* shift, const A* mean, A* scratch, double* sum,         \
                                             double* product) {                                              \
    gradient_sums_image(g, x, extent, scale, shift, mean, scratch, sum, product);                            \
  }                                                                                                          \
  GANYMEDE_VECTOR_CLONES void input_clone(const T* g, const T* x, Extent extent, const A* scale,             \
                                          const A* shift, const A* slope, const A* constant, T* dx) {        \
    input_gradient_image(g, x, extent, scale, shift, slope, constant, dx);                                   \
  }
GANYMEDE_SILU_PASSES(float, float)
GANYMEDE_SILU_PASSES(double, double)
GANYMEDE_SILU_PASSES(BFloat16, float)
GANYMEDE_SILU_PASSES(Half, float)
#undef GANYMEDE_SILU_PASSES

}  // namespace

at::Tensor scale_shift_silu(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  const Images images(x);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "scale_shift_silu", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      scale_clone(in + n * images.size(), images.extent, scales[n], shifts[n], out + n * images.size());
    });
  });
  return y;
}

at::Tensor silu_gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                              const at::Tensor& shift, const at::Tensor& mean) {
  const Images images(x);
  expect_like(x, g);
  const std::int64_t channels = images.extent.channels;
  at::Tensor sums = at::empty({2, images.count, channels}, x.options().dtype(at::kDouble));
  double* out = sums.data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "silu_gradient_sums", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images), means(mean, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      std::vector<A> scratch(static_cast<std::size_t>(2 * channels));
      gradient_clone(gradient + n * images.size(), in + n * images.size(), images.extent, scales[n],
                     shifts[n], means[n], scratch.data(), out + n * channels,
                     out + (images.count + n) * channels);
    });
  });
  return sums;
}

at::Tensor silu_input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                               const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant) {
  const Images images(x);
  expect_like(x, g);
  at::Tensor dx = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "silu_input_gradient", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images), slopes(slope, images),
        constants(constant, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    scalar_t* out = dx.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      input_clone(gradient + n * images.size(), in + n * images.size(), images.extent, scales[n], shifts[n],
                  slopes[n], constants[n], out + n * images.size());
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
