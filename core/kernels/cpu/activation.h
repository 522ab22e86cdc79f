#pragma once

#include "core/activation.h"

namespace ganymede::cpu {

/// core/activation.h on the CPU, each in one pass.
at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures);
at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures);

}  // namespace ganymede::cpu
