#include "core/spectrum.h"

#include <ATen/ATen.h>

#include "core/philox.h"

namespace ganymede {

at::Tensor top_singular_value(const at::Tensor& weight, int iterations) {
  const at::NoGradGuard no_grad;
  const at::Tensor matrix = weight.detach().flatten(1).to(at::kDouble);
  at::Tensor v = RandomStream({.seed = 0, .phase = "spectrum", .stream = "start"})
                     .normal(0, 1, matrix.size(1), at::kDouble)
                     .flatten()
                     .to(matrix.device());
  at::Tensor image = at::mv(matrix, v);
  for (int i = 0; i < iterations; ++i) {
    v = at::mv(matrix.t(), image);
    v = v / v.norm().clamp_min(1e-300);
    image = at::mv(matrix, v);
  }
  return image.norm();
}

}  // namespace ganymede
