#include "models/diffusion/processes/edm.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"

namespace ganymede {

void EdmOptions::describe(OptionSchema& schema) {
  schema.add("edm.sigma_data", sigma_data, "", {1e-6, 1e6}, "standard deviation of the images");
  schema.add("edm.mean", mean, "", {-20, 20}, "mean of ln sigma in training");
  schema.add("edm.deviation", deviation, "", {0, 20}, "standard deviation of ln sigma in training");
  schema.add("edm.sigma_min", sigma_min, "", {1e-9, 1e9}, "least noise in sampling");
  schema.add("edm.sigma_max", sigma_max, "", {1e-9, 1e9}, "most noise in sampling");
  schema.add("edm.rho", rho, "", {1, 100}, "how much the steps crowd near the image");
}

void Edm::check() const {
  if (options_.sigma_min >= options_.sigma_max)
    fail(ExitCode::options, "edm.sigma_min = {} is not below edm.sigma_max = {}", options_.sigma_min,
         options_.sigma_max);
}

at::Tensor Edm::times(const at::Tensor& uniform) const {
  // A uniform number of 0 would be a noise of 0.
  const at::Tensor normal = at::special_ndtri(uniform.clamp(1e-12, 1 - 1e-12));
  return (normal * options_.deviation + options_.mean).exp();
}

Coefficients Edm::coefficients(const at::Tensor& times) const {
  const at::Tensor& sigma = times;
  const double data = options_.sigma_data;
  const at::Tensor total = sigma.square() + data * data, root = total.sqrt();
  return {.alpha = at::ones_like(sigma),
          .sigma = sigma,
          .scale = 1 / root,
          .condition = sigma.log() / 4,
          // (x_0 - keep x_t) / gain
          .target_image = sigma / (data * root),
          .target_noise = -data / root,
          .keep = data * data / total,
          .gain = sigma * data / root,
          .weight = at::ones_like(sigma)};
}

at::Tensor Edm::path(std::int64_t steps, const std::string&) const {
  const double high = std::pow(options_.sigma_max, 1 / options_.rho),
               low = std::pow(options_.sigma_min, 1 / options_.rho);
  const at::Tensor way = steps == 1 ? at::zeros({1}, at::kDouble) : at::linspace(0, 1, steps, at::kDouble);
  return (high + way * (low - high)).pow(options_.rho);
}

std::unique_ptr<DiffusionProcess> make_edm() {
  return std::make_unique<Edm>();
}

}  // namespace ganymede
