#include "models/gan/losses/logistic.h"

namespace ganymede::logistic_parts {

at::Tensor real(const at::Tensor& logits) {
  return at::softplus(-logits);
}

at::Tensor fake(const at::Tensor& logits) {
  return at::softplus(logits);
}

at::Tensor generator(const at::Tensor& logits) {
  return at::softplus(-logits);
}

}  // namespace ganymede::logistic_parts
