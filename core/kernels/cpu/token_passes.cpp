#include "core/kernels/cpu/token_passes.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "core/kernels/cpu/images.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

/// Sums that a vector unit keeps apart.
constexpr std::int64_t token_lanes = 32;

template <class A>
struct TokenMoments {
  A mean, rstd;
};

// Of a lambda, which is compiled along with the clone that calls it.
#define GANYMEDE_INLINE_TERM __attribute__((always_inline))

/// The sum over a token of term(c).
template <class A, class Term>
GANYMEDE_INLINE A sum_over_token(std::int64_t channels, const Term& term) {
  const std::int64_t whole = channels / token_lanes * token_lanes;
  A parts[token_lanes] = {};
  for (std::int64_t c = 0; c < whole; c += token_lanes)
    for (std::int64_t k = 0; k < token_lanes; ++k) parts[k] += term(c + k);
  for (std::int64_t c = whole; c < channels; ++c) parts[0] += term(c);
  A sum = 0;
  for (std::int64_t k = 0; k < token_lanes; ++k) sum += parts[k];
  return sum;
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE TokenMoments<A> token_moments(const T* __restrict x, std::int64_t channels, A eps) {
  const A count = static_cast<A>(channels);
  const A mean =
      sum_over_token<A>(channels, [&](std::int64_t c) GANYMEDE_INLINE_TERM { return load(x + c); }) / count;
  const A square = sum_over_token<A>(channels, [&](std::int64_t c) GANYMEDE_INLINE_TERM {
    const A d = load(x + c) - mean;
    return d * d;
  });
  return {mean, 1 / std::sqrt(square / count + eps)};
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void modulate_tokens(const T* __restrict x, Extent extent, const A* __restrict scale,
                                     const A* __restrict shift, A eps, T* __restrict y) {
  const std::int64_t channels = extent.channels;
  for (std::int64_t p = 0; p < extent.positions; ++p, x += channels, y += channels) {
    const TokenMoments<A> m = token_moments(x, channels, eps);
    for (std::int64_t c = 0; c < channels; ++c)
      store(y + c, (load(x + c) - m.mean) * m.rstd * (1 + scale[c]) + shift[c]);
  }
}

/// scratch: 2 channels. Sums are added to sum and product.
template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void modulate_tokens_back(const T* __restrict g, const T* __restrict x, Extent extent,
                                          const A* __restrict scale, A eps, A* __restrict scratch,
                                          T* __restrict dx, double* __restrict product,
                                          double* __restrict sum) {
  const std::int64_t channels = extent.channels;
  const A count = static_cast<A>(channels);
  A* __restrict first = scratch;
  A* __restrict second = scratch + channels;
  for (std::int64_t begin = 0; begin < extent.positions; begin += positions_at_once) {
    const std::int64_t end =
        begin + positions_at_once < extent.positions ? begin + positions_at_once : extent.positions;
    for (std::int64_t c = 0; c < channels; ++c) first[c] = second[c] = 0;
    for (std::int64_t p = begin; p < end; ++p, x += channels, g += channels, dx += channels) {
      const TokenMoments<A> m = token_moments(x, channels, eps);
      const A flat =
          sum_over_token<A>(
              channels, [&](std::int64_t c) GANYMEDE_INLINE_TERM { return load(g + c) * (1 + scale[c]); }) /
          count;
      const A along = sum_over_token<A>(channels,
                                        [&](std::int64_t c) GANYMEDE_INLINE_TERM {
                                          return load(g + c) * (1 + scale[c]) * (load(x + c) - m.mean);
                                        }) *
                      m.rstd / count;
      for (std::int64_t c = 0; c < channels; ++c) {
        const A gradient = load(g + c), n = (load(x + c) - m.mean) * m.rstd;
        first[c] += gradient * n;
        second[c] += gradient;
        store(dx + c, m.rstd * (gradient * (1 + scale[c]) - flat - n * along));
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      product[c] += static_cast<double>(first[c]);
      sum[c] += static_cast<double>(second[c]);
    }
  }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gate_tokens(const T* __restrict x, const T* __restrict branch, Extent extent,
                                 const A* __restrict gate, T* __restrict y) {
  const std::int64_t channels = extent.channels;
  for (std::int64_t p = 0; p < extent.positions; ++p, x += channels, branch += channels, y += channels)
    for (std::int64_t c = 0; c < channels; ++c) store(y + c, load(x + c) + gate[c] * load(branch + c));
}

/// scratch: as many as channels. The sums are added to product.
template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void gate_tokens_back(const T* __restrict g, const T* __restrict branch, Extent extent,
                                      const A* __restrict gate, A* __restrict scratch, T* __restrict dbranch,
                                      double* __restrict product) {
  const std::int64_t channels = extent.channels;
  for (std::int64_t begin = 0; begin < extent.positions; begin += positions_at_once) {
    const std::int64_t end =
        begin + positions_at_once < extent.positions ? begin + positions_at_once : extent.positions;
    for (std::int64_t c = 0; c < channels; ++c) scratch[c] = 0;
    for (std::int64_t p = begin; p < end; ++p, g += channels, branch += channels, dbranch += channels)
      for (std::int64_t c = 0; c < channels; ++c) {
        const A gradient = load(g + c);
        scratch[c] += gradient * load(branch + c);
        store(dbranch + c, gradient * gate[c]);
      }
    for (std::int64_t c = 0; c < channels; ++c) product[c] += static_cast<double>(scratch[c]);
  }
}

// The clones: templates have none.
#define GANYMEDE_TOKEN_PASSES(T, A)                                                                         \
  GANYMEDE_VECTOR_CLONES void modulate_clone(const T* x, Extent extent, const A* scale, const A* shift,     \
                                             A eps, T* y) {                                                 \
    modulate_tokens(x, extent, scale, shift, eps, y);                                                       \
  }                                                                                                         \
  GANYMEDE_VECTOR_CLONES void modulate_back_clone(const T* g, const T* x, Extent extent, const A* scale,    \
                                                  A eps, A* scratch, T* dx, double* product, double* sum) { \
    modulate_tokens_back(g, x, extent, scale, eps, scratch, dx, product, sum);                              \
  }                                                                                                         \
  GANYMEDE_VECTOR_CLONES void gate_clone(const T* x, const T* branch, Extent extent, const A* gate, T* y) { \
    gate_tokens(x, branch, extent, gate, y);                                                                \
  }                                                                                                         \
  GANYMEDE_VECTOR_CLONES void gate_back_clone(const T* g, const T* branch, Extent extent, const A* gate,    \
                                              A* scratch, T* dbranch, double* product) {                    \
    gate_tokens_back(g, branch, extent, gate, scratch, dbranch, product);                                   \
  }
GANYMEDE_TOKEN_PASSES(float, float)
GANYMEDE_TOKEN_PASSES(double, double)
GANYMEDE_TOKEN_PASSES(BFloat16, float)
GANYMEDE_TOKEN_PASSES(Half, float)
#undef GANYMEDE_TOKEN_PASSES
#undef GANYMEDE_INLINE_TERM

/// Tokens [N, L, C] as what they are in memory: images [N, C, L, 1] in channels_last order.
Images images_of_tokens(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 3 && x.is_contiguous(), "tokens [N, L, C] are expected, dense");
  return Images(x.transpose(1, 2).unsqueeze(3));
}

void expect_tokens_like(const at::Tensor& x, const at::Tensor& other) {
  TORCH_CHECK(other.sizes() == x.sizes() && other.scalar_type() == x.scalar_type() && other.is_contiguous(),
              "dense tokens of one shape and type are expected");
}

}  // namespace

at::Tensor modulate_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, double eps) {
  const Images images = images_of_tokens(x);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "modulate_norm", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images), shifts(shift, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      modulate_clone(in + n * images.size(), images.extent, scales[n], shifts[n], static_cast<A>(eps),
                     out + n * images.size());
    });
  });
  return y;
}

ModulatedNormGradient modulate_norm_gradient(const at::Tensor& g, const at::Tensor& x,
                                             const at::Tensor& scale, double eps) {
  const Images images = images_of_tokens(x);
  expect_tokens_like(x, g);
  const std::int64_t channels = images.extent.channels;
  const ModulatedNormGradient result{at::empty_like(x),
                                     at::zeros({2, images.count, channels}, x.options().dtype(at::kDouble))};
  double* product = result.sums.data_ptr<double>();
  double* sum = product + images.count * channels;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "modulate_norm_gradient", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> scales(scale, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    scalar_t* out = result.x.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      std::vector<A> scratch(static_cast<std::size_t>(2 * channels));
      modulate_back_clone(gradient + n * images.size(), in + n * images.size(), images.extent, scales[n],
                          static_cast<A>(eps), scratch.data(), out + n * images.size(),
                          product + n * channels, sum + n * channels);
    });
  });
  return result;
}

at::Tensor gate_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch) {
  const Images images = images_of_tokens(x);
  expect_tokens_like(x, branch);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "gate_sum", [&] {
    const Rows<accumulator_t<scalar_t>> gates(gate, images);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    const scalar_t* beside = branch.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      gate_clone(in + n * images.size(), beside + n * images.size(), images.extent, gates[n],
                 out + n * images.size());
    });
  });
  return y;
}

GatedSumGradient gate_sum_gradient(const at::Tensor& g, const at::Tensor& gate, const at::Tensor& branch) {
  const Images images = images_of_tokens(branch);
  expect_tokens_like(branch, g);
  const std::int64_t channels = images.extent.channels;
  const GatedSumGradient result{at::empty_like(branch),
                                at::zeros({images.count, channels}, branch.options().dtype(at::kDouble))};
  double* product = result.gate.data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, branch.scalar_type(), "gate_sum_gradient", [&] {
    using A = accumulator_t<scalar_t>;
    const Rows<A> gates(gate, images);
    const scalar_t* beside = branch.const_data_ptr<scalar_t>();
    const scalar_t* gradient = g.const_data_ptr<scalar_t>();
    scalar_t* out = result.branch.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      std::vector<A> scratch(static_cast<std::size_t>(channels));
      gate_back_clone(gradient + n * images.size(), beside + n * images.size(), images.extent, gates[n],
                      scratch.data(), out + n * images.size(), product + n * channels);
    });
  });
  return result;
}

}  // namespace ganymede::cpu
