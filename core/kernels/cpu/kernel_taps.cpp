#include "core/kernels/cpu/kernel_taps.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

constexpr std::int64_t channels_a_task = 8;  // of the output

/// out[i] = scale * sum of count rows of w, which begin at w + rows[j].
template <class W, class T>
GANYMEDE_INLINE void combine(const W* __restrict w, const std::int64_t* rows, std::int64_t count,
                             std::int64_t width, W scale, T* __restrict out) {
  if (count == 1) {
    const W* a = w + rows[0];
    for (std::int64_t i = 0; i < width; ++i) store(out + i, scale * a[i]);
  } else if (count == 2) {
    const W *a = w + rows[0], *b = w + rows[1];
    for (std::int64_t i = 0; i < width; ++i) store(out + i, scale * (a[i] + b[i]));
  } else {
    const W *a = w + rows[0], *b = w + rows[1], *c = w + rows[2], *d = w + rows[3];
    for (std::int64_t i = 0; i < width; ++i) store(out + i, scale * ((a[i] + b[i]) + (c[i] + d[i])));
  }
}

/// sum[i] += g[i].
template <class W, class T>
GANYMEDE_INLINE void add(const T* __restrict g, std::int64_t width, W* __restrict sum) {
  for (std::int64_t i = 0; i < width; ++i) sum[i] += load(g + i);
}

/// x = scale x; returns the inner product with w.
template <class W>
GANYMEDE_INLINE double finish(W* __restrict x, const W* __restrict w, std::int64_t width, W scale) {
  // Sixteen sums side by side: a single one could not be vectorised without changing the order.
  W sums[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= width; i += 16)
    for (std::int64_t j = 0; j < 16; ++j) {
      x[i + j] *= scale;
      sums[j] += x[i + j] * w[i + j];
    }
  double total = 0;
  for (; i < width; ++i) {
    x[i] *= scale;
    total += static_cast<double>(x[i]) * static_cast<double>(w[i]);
  }
  for (const W sum : sums) total += static_cast<double>(sum);
  return total;
}

#define GANYMEDE_TAPS(W, T)                                                                           \
  GANYMEDE_VECTOR_CLONES void combine_clone(const W* w, const std::int64_t* rows, std::int64_t count, \
                                            std::int64_t width, W scale, T* out) {                    \
    combine(w, rows, count, width, scale, out);                                                       \
  }                                                                                                   \
  GANYMEDE_VECTOR_CLONES void add_clone(const T* g, std::int64_t width, W* sum) {                     \
    add(g, width, sum);                                                                               \
  }
GANYMEDE_TAPS(float, float)
GANYMEDE_TAPS(float, BFloat16)
GANYMEDE_TAPS(double, double)
GANYMEDE_TAPS(double, BFloat16)
GANYMEDE_TAPS(float, Half)
GANYMEDE_TAPS(double, Half)
#undef GANYMEDE_TAPS
GANYMEDE_VECTOR_CLONES double finish_clone(float* x, const float* w, std::int64_t width, float scale) {
  return finish(x, w, width, scale);
}
GANYMEDE_VECTOR_CLONES double finish_clone(double* x, const double* w, std::int64_t width, double scale) {
  return finish(x, w, width, scale);
}

void check(const TapMap& map, const at::Tensor& w) {
  TORCH_CHECK(w.dim() == 3 && w.size(1) == map.inputs && w.is_contiguous() && w.device().is_cpu(),
              "a dense kernel [O, ", map.inputs, ", I] on the CPU is expected");
}

template <class Body>
void dispatch(at::ScalarType weight, at::ScalarType other, const Body& body) {
  AT_DISPATCH_FLOATING_TYPES(weight, "kernel taps", [&] {
    if (other == weight)
      body(scalar_t(), scalar_t());
    else if (other == at::kBFloat16)
      body(scalar_t(), BFloat16());
    else if (other == at::kHalf)
      body(scalar_t(), Half());
    else
      TORCH_CHECK(false, "kernel taps: ", weight, " and ", other);
  });
}

}  // namespace

at::Tensor map_taps(const TapMap& map, const at::Tensor& w, double scale, at::ScalarType type) {
  check(map, w);
  const std::int64_t channels = w.size(0), width = w.size(2), taps = map.outputs();
  at::Tensor out = at::empty({map.phases() * channels, taps, width}, w.options().dtype(type));
  dispatch(w.scalar_type(), type, [&](auto weight_type, auto out_type) {
    using W = decltype(weight_type);
    using T = decltype(out_type);
    const W* source = w.data_ptr<W>();
    T* target = out.data_ptr<T>();
    at::parallel_for(0, channels, channels_a_task, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t phase = 0; phase < map.phases(); ++phase)
          for (std::int64_t t = 0; t < taps; ++t) {
            const auto& from = map.sources[static_cast<std::size_t>(phase)][static_cast<std::size_t>(t)];
            std::int64_t rows[4];
            for (std::size_t j = 0; j < from.size(); ++j) rows[j] = from[j] * width;
            combine_clone(source + o * map.inputs * width, rows, static_cast<std::int64_t>(from.size()),
                          width, static_cast<W>(scale * map.factor),
                          target + ((phase * channels + o) * taps + t) * width);
          }
    });
  });
  return out;
}

GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like, double scale) {
  check(map, like);
  const std::int64_t channels = like.size(0), width = like.size(2), taps = map.outputs(),
                     row = map.inputs * width;
  TORCH_CHECK(g.is_contiguous() && g.numel() == map.phases() * channels * taps * width,
              "kernel taps: gradient's shape");
  at::Tensor sum = at::zeros_like(like);
  std::vector<double> products(static_cast<std::size_t>(channels));
  dispatch(like.scalar_type(), g.scalar_type(), [&](auto weight_type, auto gradient_type) {
    using W = decltype(weight_type);
    using T = decltype(gradient_type);
    const T* gradient = g.data_ptr<T>();
    const W* weight = like.data_ptr<W>();
    W* target = sum.data_ptr<W>();
    at::parallel_for(0, channels, channels_a_task, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) {
        for (std::int64_t phase = 0; phase < map.phases(); ++phase)
          for (std::int64_t t = 0; t < taps; ++t)
            for (const std::int64_t k :
                 map.sources[static_cast<std::size_t>(phase)][static_cast<std::size_t>(t)])
              add_clone(gradient + ((phase * channels + o) * taps + t) * width, width,
                        target + o * row + k * width);
        products[static_cast<std::size_t>(o)] =
            finish_clone(target + o * row, weight + o * row, row, static_cast<W>(scale * map.factor));
      }
    });
  });
  double product = 0;
  for (const double p : products) product += p;
  return {sum, at::scalar_tensor(product, at::kDouble)};
}

}  // namespace ganymede::cpu
