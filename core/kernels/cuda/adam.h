#pragma once

#include "core/adam.h"

namespace ganymede::cuda {

/// adam_step() of core/adam.h for arenas on one CUDA device: one kernel on the device's current stream,
/// without a synchronisation. The arithmetic is that of the CPU form, in the arenas' own type, but for fused
/// multiply-adds.
///
/// Throws Error(options) in a build without CUDA (no_cuda.cpp).
void adam_step(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
               const at::Tensor& m, const at::Tensor& v, const std::vector<EmaTarget>& averages,
               const at::Tensor& gate);

}  // namespace ganymede::cuda
