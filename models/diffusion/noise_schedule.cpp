#include "models/diffusion/noise_schedule.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace ganymede {

at::Tensor NoiseSchedule::betas() const {
  if (kind == "linear") return at::linspace(beta_first, beta_last, steps, at::kDouble);
  if (kind == "scaled-linear")
    return at::linspace(std::sqrt(beta_first), std::sqrt(beta_last), steps, at::kDouble).square();
  TORCH_CHECK(kind == "cosine", "noise schedule ", kind);
  const at::Tensor t = at::arange(steps + 1, at::kDouble) / static_cast<double>(steps);
  const at::Tensor f = ((t + 0.008) / 1.008 * (std::numbers::pi / 2)).cos().square();
  return (1 - f.slice(0, 1) / f.slice(0, 0, steps)).clamp_max(0.999);
}

at::Tensor NoiseSchedule::alpha_bars() const {
  return (1 - betas()).cumprod(0);
}

}  // namespace ganymede
