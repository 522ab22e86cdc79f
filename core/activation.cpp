#include "core/activation.h"

#include "core/kernels/cpu/activation.h"
#include "core/kernels/cuda/activation.h"

namespace ganymede {

at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures) {
  return x.is_cuda() ? cuda::activation(x, bias, figures) : cpu::activation(x, bias, figures);
}

at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures) {
  return y.is_cuda() ? cuda::activation_gradient(g, y, figures) : cpu::activation_gradient(g, y, figures);
}

}  // namespace ganymede
