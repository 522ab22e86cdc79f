#include "models/layers/layer_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

LayerNorm::LayerNorm(std::int64_t width, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", at::ones({width}));
  bias_ = register_parameter("bias", at::zeros({width}));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x.to(weight_.scalar_type()), {x.size(-1)}, weight_, bias_, eps_).to(x.scalar_type());
}

}  // namespace ganymede
