#include "models/layers/sinusoids.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ganymede {

at::Tensor sinusoids(const at::Tensor& times, const SinusoidOptions& options) {
  const std::int64_t half = options.width / 2;
  const at::Tensor exponents = at::arange(half, times.options().dtype(at::kFloat)) * -std::log(10000.0) /
                               (static_cast<double>(half) - options.frequency_shift);
  const at::Tensor angles = times.to(at::kFloat).unsqueeze(1) * exponents.exp().unsqueeze(0);
  const at::Tensor sines = angles.sin(), cosines = angles.cos();
  return options.cosine_first ? at::cat({cosines, sines}, 1) : at::cat({sines, cosines}, 1);
}

at::Tensor grid_sinusoids(std::int64_t side, std::int64_t width) {
  TORCH_CHECK(width % 4 == 0, "grid_sinusoids: width ", width);
  const std::int64_t quarter = width / 4;
  const at::Tensor frequencies =
      at::pow(10000.0, at::arange(quarter, at::kDouble) / -static_cast<double>(quarter));
  const at::Tensor angles = at::arange(side, at::kDouble).unsqueeze(1) * frequencies;  // [side, width / 4]
  const at::Tensor axis = at::cat({angles.sin(), angles.cos()}, 1);                    // [side, width / 2]
  const at::Tensor columns = axis.unsqueeze(0).expand({side, side, -1});
  const at::Tensor rows = axis.unsqueeze(1).expand({side, side, -1});
  return at::cat({columns, rows}, 2).flatten(0, 1);
}

}  // namespace ganymede
