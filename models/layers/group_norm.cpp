#include "models/layers/group_norm.h"

#include <ATen/ATen.h>

#include "models/layers/group_norm_silu.h"

namespace ganymede {
namespace {

/// Figures [N, C] over_positions_of images x.
at::Tensor over_positions_of(const at::Tensor& figures, const at::Tensor& x) {
  return figures.to(x.scalar_type()).unsqueeze(-1).unsqueeze(-1);
}

}  // namespace

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps) : groups_(groups), eps_(eps) {
  TORCH_CHECK(channels % groups == 0, "GroupNorm: ", channels, " channels in ", groups, " groups");
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  if (x.is_cpu() && x.dim() == 4) return group_norm_pass(x, weight_.unsqueeze(0), bias_.unsqueeze(0), groups_, eps_);
  // The host's kernel takes maps of a narrower type than the gain; that of a GPU does not.
  if (x.is_cpu() || x.scalar_type() == weight_.scalar_type())
    return at::group_norm(x, groups_, weight_, bias_, eps_);
  return at::group_norm(x.to(weight_.scalar_type()), groups_, weight_, bias_, eps_).to(x.scalar_type());
}

at::Tensor GroupNorm::forward_silu(const at::Tensor& x, const at::Tensor& offset) const {
  if (!x.is_cpu()) return at::silu(forward(offset.defined() ? x + over_positions_of(offset, x) : x));
  return group_norm_silu(x, offset, weight_.unsqueeze(0), bias_.unsqueeze(0), groups_, eps_);
}

std::vector<at::Tensor> GroupNorm::forward_silu_apart(const std::vector<at::Tensor>& maps) const {
  return group_norm_silu_apart(maps, weight_.unsqueeze(0), bias_.unsqueeze(0), groups_, eps_);
}

at::Tensor GroupNorm::forward_modulated_silu(const at::Tensor& x, const at::Tensor& scale,
                                             const at::Tensor& shift) const {
  if (!x.is_cpu())
    return at::silu(forward(x) * over_positions_of(1 + scale, x) + over_positions_of(shift, x));
  const at::Tensor gain = weight_ * (1 + scale), bias = at::addcmul(shift, bias_, 1 + scale);
  return group_norm_silu(x, {}, gain, bias, groups_, eps_);
}

}  // namespace ganymede
