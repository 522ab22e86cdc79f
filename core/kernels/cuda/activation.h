#pragma once

#include "core/activation.h"

namespace ganymede::cuda {

/// core/activation.h on a CUDA device, for tensors whose first dimension cuts them into parts of less than 2^31 values,
/// each in one pass. They throw Error(options) in a build without CUDA (no_cuda.cpp).
at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures);
at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures);

}  // namespace ganymede::cuda
