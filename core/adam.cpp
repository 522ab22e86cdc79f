#include "core/adam.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "core/kernels/adam_arithmetic.h"
#include "core/kernels/cpu/vector.h"
#include "core/kernels/cuda/adam.h"

namespace ganymede {
namespace {

// A block of every array stays in the first-level cache while the averages are brought up to date.
constexpr std::int64_t block = 2048;
constexpr std::int64_t grain = 1 << 16;

template <class T>
GANYMEDE_INLINE void update_block(const AdamStep& step, T* __restrict weights, const T* __restrict gradient,
                                  T* __restrict m, T* __restrict v, std::int64_t count) {
  const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
  const T rest1 = static_cast<T>(1 - step.beta1), rest2 = static_cast<T>(1 - step.beta2);
  const double t = static_cast<double>(step.t);
  const T size = static_cast<T>(adam_size(step.lr, step.beta1, t));
  const T correction = static_cast<T>(adam_correction(step.beta2, t));
  const T eps = static_cast<T>(step.eps), scale = static_cast<T>(step.gradient_scale);
  const T kept = static_cast<T>(1 - step.lr * step.weight_decay);
  for (std::int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * scale;
    m[i] = beta1 * m[i] + rest1 * g;
    v[i] = beta2 * v[i] + rest2 * g * g;
    weights[i] = kept * weights[i] - size * m[i] / (std::sqrt(v[i]) * correction + eps);
  }
}

template <class T>
GANYMEDE_INLINE void average_block(T* __restrict target, const T* __restrict weights, T rest,
                                   std::int64_t count) {
  // e + (w - e) is not w once rounded.
  if (rest == 1)
    for (std::int64_t i = 0; i < count; ++i) target[i] = weights[i];
  else
    for (std::int64_t i = 0; i < count; ++i) target[i] += rest * (weights[i] - target[i]);
}

// The clones: templates have none.
GANYMEDE_VECTOR_CLONES void update(const AdamStep& step, float* w, const float* g, float* m, float* v,
                                   std::int64_t count) {
  update_block(step, w, g, m, v, count);
}
GANYMEDE_VECTOR_CLONES void update(const AdamStep& step, double* w, const double* g, double* m, double* v,
                                   std::int64_t count) {
  update_block(step, w, g, m, v, count);
}
GANYMEDE_VECTOR_CLONES void average(float* target, const float* weights, float rest, std::int64_t count) {
  average_block(target, weights, rest, count);
}
GANYMEDE_VECTOR_CLONES void average(double* target, const double* weights, double rest, std::int64_t count) {
  average_block(target, weights, rest, count);
}

}  // namespace

void adam_step(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
               const at::Tensor& m, const at::Tensor& v, const std::vector<EmaTarget>& averages,
               const at::Tensor& gate) {
  if (weights.is_cuda()) return cuda::adam_step(step, weights, gradient, m, v, averages, gate);
  if (gate.defined()) {
    const double* figures = gate.data_ptr<double>();
    AdamStep counted = step;
    counted.t -= static_cast<std::int64_t>(figures[1]);
    if (figures[0] == 0) adam_step(counted, weights, gradient, m, v, averages);
    return;
  }
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "adam_step", [&] {
    scalar_t* w = weights.data_ptr<scalar_t>();
    const scalar_t* g = gradient.data_ptr<scalar_t>();
    scalar_t* first = m.data_ptr<scalar_t>();
    scalar_t* second = v.data_ptr<scalar_t>();
    at::parallel_for(0, weights.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += block) {
        const std::int64_t count = std::min(block, end - i);
        update(step, w + i, g + i, first + i, second + i, count);
        for (const EmaTarget& ema : averages)
          average(ema.average.data_ptr<scalar_t>() + i, w + i, static_cast<scalar_t>(1 - ema.decay), count);
      }
    });
  });
}

}  // namespace ganymede
