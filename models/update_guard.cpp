#include "models/update_guard.h"

#include <ATen/ATen.h>

namespace ganymede {

UpdateGuard::UpdateGuard(at::Device device, bool scales)
    : scales_(scales), figures_(at::tensor({0., 0., scales ? first : 1., 0., 0.}, at::kDouble).to(device)) {}

at::Tensor UpdateGuard::follow(const at::Tensor& finite) {
  const at::Tensor skip = figures_[0], skipped = figures_[1], scale = figures_[2], debt = figures_[3];
  skip.copy_(finite.logical_not());
  skipped.add_(skip);
  debt.add_(at::where(finite, -1.0 / atonement, 1.0)).clamp_min_(0);
  const at::Tensor hope = debt.le(patience);
  if (!scales_) return hope;
  // While the scale can fall, patience is not tried.
  hope.logical_or_(scale.gt(least));
  debt.mul_(scale.le(least));
  const at::Tensor streak = figures_[4];
  streak.add_(1).mul_(1 - skip);
  const at::Tensor grow = streak.ge(growth_interval).to(at::kDouble);
  scale.mul_(1 + grow - skip / 2).clamp_(least, largest);
  streak.mul_(1 - grow);
  return hope;
}

NamedTensors UpdateGuard::state() const {
  NamedTensors state{{"skipped", figures_[1]}, {"debt", figures_[3]}};
  if (scales_) state.insert(state.end(), {{"scale", figures_[2]}, {"good_updates", figures_[4]}});
  return state;
}

}  // namespace ganymede
