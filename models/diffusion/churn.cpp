#include "models/diffusion/churn.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace ganymede {

void ChurnOptions::describe(OptionSchema& schema) {
  schema.add("sampler.churn", amount, "", {0, 1e6},
             "how much noise is added on the way, in all steps together; 0 for none", OnResume::free);
  schema.add("sampler.churn_least", least, "", {0, 1e9}, "least noise (sigma / alpha) to which it is added",
             OnResume::free);
  schema.add("sampler.churn_most", most, "", {0, 1e9}, "most noise (sigma / alpha) to which it is added",
             OnResume::free);
  schema.add("sampler.churn_noise", noise, "", {0, 10}, "deviation of the added noise over the process's own",
             OnResume::free);
}

std::optional<PathPoint> churned(const ChurnOptions& options, const DiffusionProcess& process,
                                 const PathPoint& point, std::int64_t steps) {
  const double ratio = point.sigma / point.alpha;  // may be infinite
  if (options.amount == 0 || ratio < options.least || ratio > options.most) return std::nullopt;
  const double growth = std::min(options.amount / static_cast<double>(steps), std::numbers::sqrt2 - 1);
  const std::optional<double> time = process.time_at(ratio * (1 + growth));
  if (!time) return std::nullopt;
  const Coefficients c = process.coefficients(at::full({1}, *time, at::kDouble));
  return PathPoint{c.alpha.item<double>(), c.sigma.item<double>(), *time};
}

at::Tensor churn(const ChurnOptions& options, const at::Tensor& x, const PathPoint& point,
                 const PathPoint& noisier, const at::Tensor& noise) {
  const double scale = noisier.alpha / point.alpha, kept = scale * point.sigma;
  const double added = std::sqrt(std::max(noisier.sigma * noisier.sigma - kept * kept, 0.0));
  return scale * x + options.noise * added * noise;
}

}  // namespace ganymede
