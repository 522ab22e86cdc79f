#include "models/gan/losses/hinge.h"

namespace ganymede::hinge_parts {

at::Tensor real(const at::Tensor& logits) {
  return at::relu(1 - logits);
}

at::Tensor fake(const at::Tensor& logits) {
  return at::relu(1 + logits);
}

at::Tensor generator(const at::Tensor& logits) {
  return -logits;
}

}  // namespace ganymede::hinge_parts
