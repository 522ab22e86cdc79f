#pragma once

#include <cmath>

#include "core/kernels/portable.h"

namespace ganymede {

/// Adam's factors that depend on the update's number t = 1, 2, ...: lr / (1 - beta1^t)
GANYMEDE_PORTABLE double adam_size(double lr, double beta1, double t) {
  return lr / (1 - std::pow(beta1, t));
}
/// and 1 / sqrt(1 - beta2^t).
GANYMEDE_PORTABLE double adam_correction(double beta2, double t) {
  return 1 / std::sqrt(1 - std::pow(beta2, t));
}

}  // namespace ganymede
