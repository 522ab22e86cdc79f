#include "core/metrics/path_length.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr double lowest_percentile = 1, highest_percentile = 99;

at::Tensor length_of(const at::Tensor& x) {
  return at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, /*keepdim=*/true);
}

}  // namespace

at::Tensor on_path(const at::Tensor& a, const at::Tensor& b, const at::Tensor& t) {
  const at::Tensor length_a = length_of(a), length_b = length_of(b), u = a / length_a, v = b / length_b;
  const at::Tensor cosine = (u * v).sum(1, /*keepdim=*/true);
  const at::Tensor across = v - cosine * u, column = t.unsqueeze(1);
  const at::Tensor angle = column * cosine.clamp(-1, 1).acos();
  const at::Tensor direction = u * angle.cos() + across / length_of(across).clamp_min(1e-300) * angle.sin();
  return direction * (length_a + column * (length_b - length_a));
}

Estimate mean_within_percentiles(const at::Tensor& values) {
  if (values.numel() == 0) fail(ExitCode::options, "a mean of no values: score one image at least");
  const at::Tensor sorted = std::get<0>(values.flatten().to(at::kDouble).sort());
  const double last = static_cast<double>(sorted.numel() - 1);
  const at::Tensor low = sorted[static_cast<std::int64_t>(std::floor(lowest_percentile / 100 * last))];
  const at::Tensor high = sorted[static_cast<std::int64_t>(std::ceil(highest_percentile / 100 * last))];
  const at::Tensor kept = sorted.index({sorted.ge(low).logical_and(sorted.le(high))});
  const double count = static_cast<double>(sorted.numel()), share = static_cast<double>(kept.numel()) / count;
  const double deviation =
      sorted.numel() > 1 ? sorted.clamp(low.item<double>(), high.item<double>()).std().item<double>() : 0;
  return {kept.mean().item<double>(), deviation / (share * std::sqrt(count))};
}

}  // namespace ganymede
