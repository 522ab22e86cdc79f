#include "core/kernels/cuda/adam.h"

#include <ATen/Dispatch.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/adam_arithmetic.h"
#include "core/kernels/cuda/adam_kernel.h"

namespace ganymede::cuda {
namespace {

// Enough to fill a multiprocessor: 2048 threads in blocks of 256.
constexpr int blocks_a_multiprocessor = 8;

template <class T>
AdamArguments<T> arguments_of(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
                              const at::Tensor& m, const at::Tensor& v,
                              const std::vector<EmaTarget>& averages, const at::Tensor& gate) {
  AdamArguments<T> a{};
  if (averages.size() > AdamArguments<T>::most_averages)
    throw std::logic_error("more averages than the kernel takes");
  const double t = static_cast<double>(step.t);
  a.weights = weights.data_ptr<T>();
  a.gradient = gradient.data_ptr<T>();
  a.m = m.data_ptr<T>();
  a.v = v.data_ptr<T>();
  a.count = weights.numel();
  a.beta1 = static_cast<T>(step.beta1);
  a.rest1 = static_cast<T>(1 - step.beta1);
  a.beta2 = static_cast<T>(step.beta2);
  a.rest2 = static_cast<T>(1 - step.beta2);
  a.size = static_cast<T>(adam_size(step.lr, step.beta1, t));
  a.correction = static_cast<T>(adam_correction(step.beta2, t));
  if (gate.defined()) a.gate = {gate.data_ptr<double>(), step.lr, step.beta1, step.beta2, t};
  a.eps = static_cast<T>(step.eps);
  a.kept = static_cast<T>(1 - step.lr * step.weight_decay);
  a.gradient_scale = static_cast<T>(step.gradient_scale);
  for (const EmaTarget& ema : averages) {
    a.average[a.averages] = ema.average.data_ptr<T>();
    a.average_rest[a.averages] = static_cast<T>(1 - ema.decay);
    ++a.averages;
  }
  return a;
}

}  // namespace

void adam_step(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
               const at::Tensor& m, const at::Tensor& v, const std::vector<EmaTarget>& averages,
               const at::Tensor& gate) {
  const c10::cuda::CUDAGuard guard(weights.device());
  const int blocks = at::cuda::getCurrentDeviceProperties()->multiProcessorCount * blocks_a_multiprocessor;
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "adam_step", [&] {
    C10_CUDA_CHECK(launch_adam(arguments_of<scalar_t>(step, weights, gradient, m, v, averages, gate), blocks,
                               at::cuda::getCurrentCUDAStream()));
  });
}

}  // namespace ganymede::cuda
