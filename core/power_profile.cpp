#include "core/power_profile.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ganymede {

double power_exponent(double width) {
  TORCH_CHECK(width > 0 && width <= widest_power_profile, "power_exponent: width ", width);
  // Widths fall as exponents grow.
  double low = 0, high = 1 / width;
  for (int halving = 0; halving < 200; ++halving) {
    const double middle = (low + high) / 2;
    const double found = std::sqrt((middle + 1) / (middle + 3)) / (middle + 2);
    (found > width ? low : high) = middle;
  }
  return (low + high) / 2;
}

double power_decay(double exponent, std::int64_t update) {
  return std::pow(1 - 1 / static_cast<double>(update), exponent + 1);
}

double inner_product(const PowerProfile& a, const PowerProfile& b) {
  if (a.updates > b.updates) return inner_product(b, a);
  return (a.exponent + 1) * (b.exponent + 1) / (a.exponent + b.exponent + 1) *
         std::pow(a.updates / b.updates, b.exponent) / b.updates;
}

ProfileMix mix_profiles(const std::vector<PowerProfile>& known, const PowerProfile& wanted) {
  const auto count = static_cast<std::int64_t>(known.size());
  const auto norm = [](const PowerProfile& profile) { return std::sqrt(inner_product(profile, profile)); };
  at::Tensor gram = at::empty({count, count}, at::kDouble), side = at::empty({count}, at::kDouble);
  auto products = gram.accessor<double, 2>();
  auto with_wanted = side.accessor<double, 1>();
  for (std::int64_t i = 0; i < count; ++i) {
    const PowerProfile& a = known[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < count; ++j) {
      const PowerProfile& b = known[static_cast<std::size_t>(j)];
      products[i][j] = inner_product(a, b) / (norm(a) * norm(b));
    }
    with_wanted[i] = inner_product(a, wanted) / (norm(a) * norm(wanted));
  }
  // Through the eigenvectors: profiles that are nearly the same leave the matrix nearly singular.
  const auto [values, vectors] = at::linalg_eigh(gram);
  const at::Tensor kept = values > values.max() * 1e-13;
  const at::Tensor along = at::mv(vectors.t(), side);
  const at::Tensor mix = at::mv(vectors, at::where(kept, along / values, at::zeros_like(along)));
  ProfileMix result;
  result.error = std::sqrt(std::max(1 - at::dot(mix, side).item<double>(), 0.0));
  for (std::int64_t i = 0; i < count; ++i)
    result.weights.push_back(mix[i].item<double>() * norm(wanted) / norm(known[static_cast<std::size_t>(i)]));
  return result;
}

}  // namespace ganymede
