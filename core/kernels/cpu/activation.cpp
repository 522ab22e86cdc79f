#include "core/kernels/cpu/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/activation_arithmetic.h"
#include "core/kernels/channel_layout.h"
#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

template <class A>
using Scales = ActivationScales<A>;

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void activate(const T* __restrict x, std::int64_t count, A added, Scales<A> scales,
                              T* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) store(y + i, activated(load(x + i) + added, scales));
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void activate_sum(const T* __restrict x, const T* __restrict bias, std::int64_t rows,
                                  std::int64_t channels, Scales<A> scales, T* __restrict y) {
  for (std::int64_t row = 0; row < rows; ++row, x += channels, y += channels)
    for (std::int64_t c = 0; c < channels; ++c) store(y + c, activated(load(x + c) + load(bias + c), scales));
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void activate_back(const T* __restrict g, const T* __restrict y, std::int64_t count,
                                   Scales<A> scales, T* __restrict dx) {
  for (std::int64_t i = 0; i < count; ++i)
    store(dx + i, ganymede::activation_gradient(load(g + i), load(y + i), scales));
}

// The clones: templates have none.
#define GANYMEDE_ACTIVATION(T, A)                                                                            \
  GANYMEDE_VECTOR_CLONES void activate_clone(const T* x, std::int64_t count, A added, Scales<A> scales,      \
                                             T* y) {                                                         \
    activate(x, count, added, scales, y);                                                                    \
  }                                                                                                          \
  GANYMEDE_VECTOR_CLONES void sum_clone(const T* x, const T* bias, std::int64_t rows, std::int64_t channels, \
                                        Scales<A> scales, T* y) {                                            \
    activate_sum(x, bias, rows, channels, scales, y);                                                        \
  }                                                                                                          \
  GANYMEDE_VECTOR_CLONES void back_clone(const T* g, const T* y, std::int64_t count, Scales<A> scales,       \
                                         T* dx) {                                                            \
    activate_back(g, y, count, scales, dx);                                                                  \
  }
GANYMEDE_ACTIVATION(float, float)
GANYMEDE_ACTIVATION(double, double)
GANYMEDE_ACTIVATION(BFloat16, float)
GANYMEDE_ACTIVATION(Half, float)
#undef GANYMEDE_ACTIVATION

template <class A>
Scales<A> scales_of(const ActivationFigures& figures) {
  return activation_scales<A>(figures.slope, figures.gain, figures.bound);
}

constexpr std::int64_t elements_at_once = 1 << 15;

/// body(first row, rows): rows of `width` elements, shared among threads.
template <class Body>
void for_rows(std::int64_t rows, std::int64_t width, const Body& body) {
  at::parallel_for(0, rows, std::max<std::int64_t>(elements_at_once / std::max<std::int64_t>(width, 1), 1),
                   [&](std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

}  // namespace

at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures) {
  const ChannelLayout layout = channel_layout(x);
  TORCH_CHECK(x.is_cpu(), "a tensor on the CPU is expected");
  TORCH_CHECK(!bias.defined() || (bias.is_cpu() && bias.numel() == layout.channels && bias.is_contiguous() &&
                                  bias.scalar_type() == x.scalar_type()),
              "a bias is [C], of the type of what it is added to");
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "activation", [&] {
    using A = accumulator_t<scalar_t>;
    const auto scales = scales_of<A>(figures);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* added = bias.defined() ? bias.const_data_ptr<scalar_t>() : nullptr;
    scalar_t* out = y.mutable_data_ptr<scalar_t>();
    if (!added)
      for_rows(x.numel(), 1, [&](std::int64_t first, std::int64_t count) {
        activate_clone(in + first, count, A(0), scales, out + first);
      });
    else if (layout.inner == 1)
      for_rows(layout.outer, layout.channels, [&](std::int64_t first, std::int64_t rows) {
        const std::int64_t at = first * layout.channels;
        sum_clone(in + at, added, rows, layout.channels, scales, out + at);
      });
    else
      for_rows(layout.outer * layout.channels, layout.inner, [&](std::int64_t first, std::int64_t rows) {
        for (std::int64_t row = first; row < first + rows; ++row) {
          const std::int64_t at = row * layout.inner;
          activate_clone(in + at, layout.inner, load(added + row % layout.channels), scales, out + at);
        }
      });
  });
  return y;
}

at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures) {
  TORCH_CHECK(y.is_cpu() && y.is_non_overlapping_and_dense() && g.is_cpu() && g.strides() == y.strides() &&
                  g.sizes() == y.sizes() && g.scalar_type() == y.scalar_type(),
              "dense tensors of one shape, order and type are expected");
  at::Tensor dx = at::empty_like(y);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, y.scalar_type(), "activation_gradient", [&] {
    const auto scales = scales_of<accumulator_t<scalar_t>>(figures);
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    const scalar_t* result = y.const_data_ptr<scalar_t>();
    scalar_t* out = dx.mutable_data_ptr<scalar_t>();
    for_rows(y.numel(), 1, [&](std::int64_t first, std::int64_t count) {
      back_clone(gradient + first, result + first, count, scales, out + first);
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
