#include "models/gan/losses/wasserstein.h"

namespace ganymede::wasserstein_parts {

at::Tensor real(const at::Tensor& logits) {
  return -logits;
}

at::Tensor fake(const at::Tensor& logits) {
  return logits;
}

at::Tensor generator(const at::Tensor& logits) {
  return -logits;
}

}  // namespace ganymede::wasserstein_parts
