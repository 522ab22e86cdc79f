#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace ganymede {

/// An adversarial loss on logits [N], one number an image: the method averages over the global batch.
struct GanLoss {
  const char* name;
  at::Tensor (*real)(const at::Tensor& logits);       ///< D's part on real images
  at::Tensor (*fake)(const at::Tensor& logits);       ///< D's part on generated images
  at::Tensor (*generator)(const at::Tensor& logits);  ///< G's, on generated images
};

std::vector<std::string> gan_loss_names();
/// Throws Error(options) that lists the names.
const GanLoss& gan_loss(const std::string& name);

}  // namespace ganymede
