#include "models/update_guard.h"

#include <ATen/ATen.h>

namespace ganymede {

UpdateGuard::UpdateGuard(at::Device device, bool scales)
    : scales_(scales), figures_(at::tensor({0., 0., scales ? first : 1., 0.}, at::kDouble).to(device)) {}

at::Tensor UpdateGuard::follow(const at::Tensor& finite) {
  const at::Tensor skip = figures_[0], skipped = figures_[1], scale = figures_[2], streak = figures_[3];
  skip.copy_(finite.logical_not());
  skipped.add_(skip);
  streak.copy_(at::where(finite, streak.clamp_min(0) + 1, streak.clamp_max(0) - 1));
  const at::Tensor hope = streak.ge(-patience);
  if (!scales_) return hope;
  hope.logical_or_(scale.gt(least));
  const at::Tensor grow = streak.ge(growth_interval).to(at::kDouble);
  scale.mul_(1 + grow - skip / 2).clamp_(least, largest);
  streak.mul_(1 - grow);
  return hope;
}

NamedTensors UpdateGuard::state() const {
  NamedTensors state{{"skipped", figures_[1]}, {"streak", figures_[3]}};
  if (scales_) state.emplace_back("scale", figures_[2]);
  return state;
}

}  // namespace ganymede
