#include "core/kernels/cpu/gelu_passes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/cpu/exponential.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

constexpr std::int64_t gelu_elements_at_once = 1 << 15;

/// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), and 2 u's slope.
template <class A>
struct GeluGate {
  A open, slope;
};

template <class A>
GANYMEDE_INLINE GeluGate<A> gelu_gate(A x) {
  constexpr A root = A(1.5957691216057308);  // 2 sqrt(2 / pi)
  constexpr A cubic = A(0.044715);
  const A square = x * x;
  return {1 / (1 + exponential(-root * x * (1 + cubic * square))), root * (1 + 3 * cubic * square)};
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gelu_forward(const T* __restrict x, std::int64_t count, T* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) {
    const A value = load(x + i);
    store(y + i, value * gelu_gate(value).open);
  }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gelu_back(const T* __restrict g, const T* __restrict x, std::int64_t count,
                               T* __restrict dx) {
  for (std::int64_t i = 0; i < count; ++i) {
    const A value = load(x + i);
    const GeluGate<A> gate = gelu_gate(value);
    store(dx + i, load(g + i) * gate.open * (1 + value * (1 - gate.open) * gate.slope));
  }
}

// The clones: templates have none.
#define GANYMEDE_GELU(T)                                                                           \
  GANYMEDE_VECTOR_CLONES void gelu_clone(const T* x, std::int64_t count, T* y) {                   \
    gelu_forward(x, count, y);                                                                     \
  }                                                                                                \
  GANYMEDE_VECTOR_CLONES void gelu_back_clone(const T* g, const T* x, std::int64_t count, T* dx) { \
    gelu_back(g, x, count, dx);                                                                    \
  }
GANYMEDE_GELU(float)
GANYMEDE_GELU(double)
GANYMEDE_GELU(BFloat16)
GANYMEDE_GELU(Half)
#undef GANYMEDE_GELU

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  TORCH_CHECK(x.is_cpu() && x.is_contiguous(), "a dense tensor on the CPU is expected");
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "gelu_tanh", [&] {
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    at::parallel_for(0, x.numel(), gelu_elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      gelu_clone(in + begin, end - begin, out + begin);
    });
  });
  return y;
}

at::Tensor gelu_tanh_gradient(const at::Tensor& g, const at::Tensor& x) {
  TORCH_CHECK(x.is_cpu() && x.is_contiguous() && g.is_contiguous() && g.sizes() == x.sizes() &&
                  g.scalar_type() == x.scalar_type(),
              "dense tensors of one shape and type on the CPU are expected");
  at::Tensor dx = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "gelu_tanh_gradient", [&] {
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    scalar_t* out = dx.data_ptr<scalar_t>();
    at::parallel_for(0, x.numel(), gelu_elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      gelu_back_clone(gradient + begin, in + begin, end - begin, out + begin);
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
