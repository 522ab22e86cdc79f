#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// This rank's N images of a micro-batch in D's update: what D saw, and what it said.
struct JudgedImages {
  at::Tensor real, fake;                ///< [N, C, H, W]
  at::Tensor real_labels, fake_labels;  ///< int64 [N]
  at::Tensor real_logits, fake_logits;  ///< [N]
  at::Tensor original = {};             ///< the real images before augmentation
};

}  // namespace ganymede
