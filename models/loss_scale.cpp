#include "models/loss_scale.h"

#include <ATen/ATen.h>

namespace ganymede {

LossScale::LossScale(at::Device device) : figures_(at::tensor({0., 0., first, 0.}, at::kDouble).to(device)) {}

void LossScale::follow(const at::Tensor& finite) {
  const at::Tensor good = finite.to(at::kDouble), bad = 1 - good;
  const at::Tensor skip = figures_[0], skipped = figures_[1], scale = figures_[2], streak = figures_[3];
  skip.copy_(bad);
  skipped.add_(bad);
  streak.add_(1).mul_(good);
  const at::Tensor grow = streak.ge(growth_interval).to(at::kDouble);
  scale.mul_(1 + grow - bad / 2).clamp_(least, largest);
  streak.mul_(1 - grow);
}

NamedTensors LossScale::state() const {
  return {{"scale", figures_[2]}, {"skipped", figures_[1]}, {"good_updates", figures_[3]}};
}

}  // namespace ganymede
