#include "models/layers/pixel_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

at::Tensor pixel_norm(const at::Tensor& x, double eps) {
  const at::Tensor exact = x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  return (exact * at::rsqrt(exact.square().mean({1}, /*keepdim=*/true) + eps)).to(x.scalar_type());
}

}  // namespace ganymede
