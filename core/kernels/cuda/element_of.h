#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/cuda/element.h"

namespace ganymede::cuda {

/// Throws c10::Error for a type that no kernel is compiled for.
inline Element element_of(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return Element::float64;
    case at::kFloat:
      return Element::float32;
    case at::kBFloat16:
      return Element::bfloat16;
    case at::kHalf:
      return Element::float16;
    default:
      TORCH_CHECK(false, "no kernel of ours for ", type);
  }
}

}  // namespace ganymede::cuda
