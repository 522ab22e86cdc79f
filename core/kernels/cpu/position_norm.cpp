#include "core/kernels/cpu/position_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

/// Sums that a vector unit keeps apart.
constexpr std::int64_t lanes = 32;

template <class A>
struct Figures {
  A slope, eps;
};

template <class A>
GANYMEDE_INLINE A activated(A x, A slope) {
  return x > 0 ? x : x * slope;
}

template <class A>
GANYMEDE_INLINE A joined(const A* parts) {
  A sum = 0;
  for (std::int64_t k = 0; k < lanes; ++k) sum += parts[k];
  return sum;
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void normalise_positions(const T* __restrict x, std::int64_t positions, std::int64_t channels,
                                         Figures<A> figures, T* __restrict y) {
  const std::int64_t whole = channels / lanes * lanes;
  for (std::int64_t p = 0; p < positions; ++p, x += channels, y += channels) {
    A squares[lanes] = {};
    for (std::int64_t c = 0; c < whole; c += lanes)
      for (std::int64_t k = 0; k < lanes; ++k) {
        const A z = activated(load(x + c + k), figures.slope);
        squares[k] += z * z;
      }
    for (std::int64_t c = whole; c < channels; ++c) {
      const A z = activated(load(x + c), figures.slope);
      squares[0] += z * z;
    }
    const A r = 1 / std::sqrt(joined(squares) / static_cast<A>(channels) + figures.eps);
    for (std::int64_t c = 0; c < channels; ++c) store(y + c, activated(load(x + c), figures.slope) * r);
  }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void normalise_positions_back(const T* __restrict g, const T* __restrict x,
                                              std::int64_t positions, std::int64_t channels,
                                              Figures<A> figures, T* __restrict dx) {
  const std::int64_t whole = channels / lanes * lanes;
  for (std::int64_t p = 0; p < positions; ++p, g += channels, x += channels, dx += channels) {
    A squares[lanes] = {}, products[lanes] = {};
    for (std::int64_t c = 0; c < whole; c += lanes)
      for (std::int64_t k = 0; k < lanes; ++k) {
        const A z = activated(load(x + c + k), figures.slope);
        squares[k] += z * z;
        products[k] += z * load(g + c + k);
      }
    for (std::int64_t c = whole; c < channels; ++c) {
      const A z = activated(load(x + c), figures.slope);
      squares[0] += z * z;
      products[0] += z * load(g + c);
    }
    const A count = static_cast<A>(channels);
    const A r = 1 / std::sqrt(joined(squares) / count + figures.eps);
    const A pull = joined(products) * r * r * r / count;
    for (std::int64_t c = 0; c < channels; ++c) {
      const A value = load(x + c);
      const A of_z = load(g + c) * r - activated(value, figures.slope) * pull;
      store(dx + c, value > 0 ? of_z : of_z * figures.slope);
    }
  }
}

// The clones: templates have none.
#define GANYMEDE_POSITION_NORM(T, A)                                                                \
  GANYMEDE_VECTOR_CLONES void norm_clone(const T* x, std::int64_t positions, std::int64_t channels, \
                                         Figures<A> figures, T* y) {                                \
    normalise_positions(x, positions, channels, figures, y);                                        \
  }                                                                                                 \
  GANYMEDE_VECTOR_CLONES void back_clone(const T* g, const T* x, std::int64_t positions,            \
                                         std::int64_t channels, Figures<A> figures, T* dx) {        \
    normalise_positions_back(g, x, positions, channels, figures, dx);                               \
  }
GANYMEDE_POSITION_NORM(float, float)
GANYMEDE_POSITION_NORM(double, double)
GANYMEDE_POSITION_NORM(BFloat16, float)
GANYMEDE_POSITION_NORM(Half, float)
#undef GANYMEDE_POSITION_NORM

void expect_dense(const at::Tensor& x) {
  TORCH_CHECK(x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast),
              "images [N, C, H, W] in channels_last order are expected");
}

template <class A>
Figures<A> figures_of(double slope, double eps) {
  return {static_cast<A>(slope), static_cast<A>(eps)};
}

/// body(first, count) for runs of positions.
template <class Body>
void for_positions(const at::Tensor& x, const Body& body) {
  const std::int64_t positions = x.size(0) * x.size(2) * x.size(3);
  at::parallel_for(0, positions, 1024,
                   [&](std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

}  // namespace

at::Tensor position_norm(const at::Tensor& x, double slope, double eps) {
  expect_dense(x);
  at::Tensor y = at::empty_like(x);
  const std::int64_t channels = x.size(1);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "position_norm", [&] {
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_positions(x, [&](std::int64_t first, std::int64_t count) {
      norm_clone(in + first * channels, count, channels, figures_of<accumulator_t<scalar_t>>(slope, eps),
                 out + first * channels);
    });
  });
  return y;
}

at::Tensor position_norm_gradient(const at::Tensor& g, const at::Tensor& x, double slope, double eps) {
  expect_dense(x);
  expect_dense(g);
  TORCH_CHECK(g.sizes() == x.sizes() && g.scalar_type() == x.scalar_type(),
              "a gradient of the images' shape and type is expected");
  at::Tensor dx = at::empty_like(x);
  const std::int64_t channels = x.size(1);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "position_norm_gradient", [&] {
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    scalar_t* out = dx.data_ptr<scalar_t>();
    for_positions(x, [&](std::int64_t first, std::int64_t count) {
      const std::int64_t start = first * channels;
      back_clone(gradient + start, in + start, count, channels,
                 figures_of<accumulator_t<scalar_t>>(slope, eps), out + start);
    });
  });
  return dx;
}

}  // namespace ganymede::cpu
