#include "core/adam.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "core/kernels/cuda/adam.h"

namespace ganymede {
namespace {

// A block of every array stays in the first-level cache while the averages are brought up to date.
constexpr std::int64_t block = 2048;
constexpr std::int64_t grain = 1 << 16;

template <class T>
void update(const AdamStep& step, T* __restrict weights, const T* __restrict gradient, T* __restrict m,
            T* __restrict v, std::int64_t count) {
  const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
  const T rest1 = static_cast<T>(1 - step.beta1), rest2 = static_cast<T>(1 - step.beta2);
  const double t = static_cast<double>(step.t);
  const T size = static_cast<T>(step.lr / (1 - std::pow(step.beta1, t)));
  const T correction = static_cast<T>(1 / std::sqrt(1 - std::pow(step.beta2, t)));
  const T eps = static_cast<T>(step.eps), scale = static_cast<T>(step.gradient_scale);
  for (std::int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * scale;
    m[i] = beta1 * m[i] + rest1 * g;
    v[i] = beta2 * v[i] + rest2 * g * g;
    weights[i] -= size * m[i] / (std::sqrt(v[i]) * correction + eps);
  }
}

template <class T>
void average(T* __restrict target, const T* __restrict weights, T rest, std::int64_t count) {
  // e + (w - e) is not w once rounded.
  if (rest == 1) {
    std::copy_n(weights, count, target);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) target[i] += rest * (weights[i] - target[i]);
}

}  // namespace

void adam_step(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
               const at::Tensor& m, const at::Tensor& v, const std::vector<EmaTarget>& averages) {
  if (weights.is_cuda()) return cuda::adam_step(step, weights, gradient, m, v, averages);
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
