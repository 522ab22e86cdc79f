#include "models/gan/cross_entropy.h"

#include <ATen/ATen.h>

namespace ganymede {

void RealTarget::describe(OptionSchema& schema, const std::string& section) {
  schema.add(section + ".real_target", value, "", {0.5, 1},
             "D's target for real images: below 1 is one-sided label smoothing");
}

// Not softplus: beyond 20 that is the identity, and its gradient 1 instead of 1 - 2e-9.
at::Tensor cross_entropy(const GanLogits& logits, const RealTarget& target) {
  const at::Tensor both = -at::log_sigmoid(logits.real) - at::log_sigmoid(-logits.fake);
  // -log(1 - sigma(l)) + log sigma(l) = l.
  return target.value == 1 ? both : both + (1 - target.value) * logits.real;
}

}  // namespace ganymede
