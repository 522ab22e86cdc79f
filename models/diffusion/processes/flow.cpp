#include "models/diffusion/processes/flow.h"

#include <ATen/ATen.h>

namespace ganymede {

void FlowOptions::describe(OptionSchema& schema) {
  schema.add("flow.times", times, {"logit-normal", "uniform"}, "distribution of training times");
  schema.add("flow.mean", mean, "", {-20, 20}, "mean of logit t in training");
  schema.add("flow.deviation", deviation, "", {0, 20}, "standard deviation of logit t in training");
  schema.add("flow.time_scale", time_scale, "", {1e-6, 1e6}, "the network is told t times this");
}

at::Tensor Flow::times(const at::Tensor& uniform) const {
  if (options_.times == "uniform") return uniform;
  const at::Tensor normal = at::special_ndtri(uniform.clamp(1e-12, 1 - 1e-12));
  return (normal * options_.deviation + options_.mean).sigmoid();
}

Coefficients Flow::coefficients(const at::Tensor& times) const {
  const at::Tensor one = at::ones_like(times);
  return {.alpha = 1 - times,
          .sigma = times,
          .scale = one,
          .condition = times * options_.time_scale,
          .target_image = -one,
          .target_noise = one,
          .keep = one,
          .gain = -times,
          .weight = one};
}

at::Tensor Flow::path(std::int64_t steps, const std::string&) const {
  return 1 - at::arange(steps, at::kDouble) / static_cast<double>(steps);
}

std::unique_ptr<DiffusionProcess> make_flow() {
  return std::make_unique<Flow>();
}

}  // namespace ganymede
