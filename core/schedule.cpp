#include "core/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ganymede {

double Schedule::factor(std::int64_t t) const {
  if (t <= warmup) return static_cast<double>(t) / static_cast<double>(warmup);
  if (decay == "constant" || t <= decay_from) return 1;
  const double length = static_cast<double>(std::max<std::int64_t>(decay_until - decay_from, 1));
  const double progress = std::min(1.0, static_cast<double>(t - decay_from) / length);
  const double shape = decay == "linear" ? 1 - progress : 0.5 + 0.5 * std::cos(std::numbers::pi * progress);
  return final_factor + (1 - final_factor) * shape;
}

}  // namespace ganymede
