#include "models/gan/losses/logistic.h"

namespace ganymede::logistic_parts {

// Not softplus: beyond 20 that is the identity, and its gradient 1 instead of 1 - 2e-9.
at::Tensor real(const at::Tensor& logits) {
  return -at::log_sigmoid(logits);
}

at::Tensor fake(const at::Tensor& logits) {
  return -at::log_sigmoid(-logits);
}

at::Tensor generator(const at::Tensor& logits) {
  return -at::log_sigmoid(logits);
}

}  // namespace ganymede::logistic_parts
