#include "core/kernels/cpu/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

template <class A>
struct Scales {
  A above, below;  ///< what positive and other values are multiplied by
  A bound;         ///< NaN for none, which no number reaches
};

template <class A>
GANYMEDE_INLINE A activated(A x, const Scales<A>& scales) {
  const A y = x * (x > 0 ? scales.above : scales.below);
  return y > scales.bound ? scales.bound : (y < -scales.bound ? -scales.bound : y);
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void activate(const T* __restrict x, std::int64_t count, Scales<A> scales, T* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) store(y + i, activated(load(x + i), scales));
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
  for (std::int64_t i = 0; i < count; ++i) {
    const A value = load(y + i);
    const A slope = value > 0 ? scales.above : scales.below;
    const bool bounded = value >= scales.bound || value <= -scales.bound;
    store(dx + i, bounded ? A(0) : load(g + i) * slope);
  }
}

// The clones: templates have none.
#define GANYMEDE_ACTIVATION(T, A)                                                                            \
  GANYMEDE_VECTOR_CLONES void activate_clone(const T* x, std::int64_t count, Scales<A> scales, T* y) {       \
    activate(x, count, scales, y);                                                                           \
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
  return {static_cast<A>(figures.gain), static_cast<A>(figures.gain * figures.slope),
          figures.bound > 0 ? static_cast<A>(figures.bound) : std::numeric_limits<A>::quiet_NaN()};
}

constexpr std::int64_t elements_at_once = 1 << 15;

}  // namespace

at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures) {
  TORCH_CHECK(x.is_cpu() && x.is_non_overlapping_and_dense(), "a dense tensor on the CPU is expected");
  at::Tensor y = at::empty_like(x);
  const std::int64_t channels = bias.defined() ? bias.numel() : 1;
  if (bias.defined())
    TORCH_CHECK(
        x.dim() > 1 && x.size(1) == channels && bias.scalar_type() == x.scalar_type() &&
            bias.is_contiguous() &&
            x.is_contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous) &&
            (x.dim() == 2 || x.dim() == 4),
        "a bias is [C], and what it is added to ends in its channels");
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "activation", [&] {
    const auto scales = scales_of<accumulator_t<scalar_t>>(figures);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* added = bias.defined() ? bias.const_data_ptr<scalar_t>() : nullptr;
    scalar_t* out = y.data_ptr<scalar_t>();
    const std::int64_t grain = std::max<std::int64_t>(elements_at_once / channels, 1);
    at::parallel_for(0, x.numel() / channels, grain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * channels;
      if (added)
        sum_clone(in + first, added, end - begin, channels, scales, out + first);
      else
        activate_clone(in + first, end - begin, scales, out + first);
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
    scalar_t* out = dx.data_ptr<scalar_t>();
    at::parallel_for(0, y.numel(), elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      back_clone(gradient + begin, result + begin, end - begin, scales, out + begin);
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
