#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace ganymede::cuda {

/// adam_step()'s gate, and what size and correction are computed of when t is known. Without figures the
/// step is taken with the AdamArguments' own.
struct AdamGate {
  const double* figures;
  double lr, beta1, beta2, t;
};

/// What the kernel knows of a step: adam.cu is compiled without torch's headers, which nvcc takes a minute
/// for. T is float or double; arrays hold `count` elements each, in device memory.
template <class T>
struct AdamArguments {
  static constexpr int most_averages = 4;

  T* weights;
  const T* gradient;
  T* m;
  T* v;
  std::int64_t count;
  T beta1, rest1;  ///< beta1 and 1 - beta1
  T beta2, rest2;  ///< beta2 and 1 - beta2
  T size;          ///< lr / (1 - beta1^t)
  T correction;    ///< 1 / sqrt(1 - beta2^t)
  T eps;
  T kept;          ///< 1 - lr weight_decay
  T gradient_scale;
  int averages;  ///< how many of the following there are
  T* average[most_averages];
  T average_rest[most_averages];  ///< 1 - decay
  AdamGate gate;
};

/// Starts the kernel on `stream`, which belongs to the current device, with at most `blocks` blocks.
template <class T>
cudaError_t launch_adam(const AdamArguments<T>& arguments, int blocks, cudaStream_t stream);

}  // namespace ganymede::cuda
