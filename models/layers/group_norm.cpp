#include "models/layers/group_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps) : groups_(groups), eps_(eps) {
  TORCH_CHECK(channels % groups == 0, "GroupNorm: ", channels, " channels in ", groups, " groups");
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  // The host's kernel takes maps of a narrower type than the gain; that of a GPU does not.
  if (x.is_cpu() || x.scalar_type() == weight_.scalar_type())
    return at::group_norm(x, groups_, weight_, bias_, eps_);
  return at::group_norm(x.to(weight_.scalar_type()), groups_, weight_, bias_, eps_).to(x.scalar_type());
}

}  // namespace ganymede
