#pragma once

#include <ATen/TensorOperators.h>

#include "models/gan/loss.h"

namespace ganymede {

/// A loss of the table in gan/loss.cpp, of each patch of an image by itself, and the mean over its patches.
class PatchLoss {
 public:
  /// Both must outlive it.
  PatchLoss(const GanLoss& loss, Communicator& communicator) : loss_(loss), communicator_(communicator) {}

  /// Throws Error(options) where gan.loss = `name` is not defined of a patch by itself, or needs what keeps a critic
  /// smooth.
  static void check(const std::string& name, const GanLoss& loss);

  /// Logits [N, 1, H', W'] of real images and of fakes -> [N].
  at::Tensor discriminator(const at::Tensor& real, const at::Tensor& fake, const GroupLayout& layout) const {
    return over_patches(loss_.discriminator({real, fake, {}, {}, communicator_, layout}));
  }
  at::Tensor generator(const at::Tensor& fake, const GroupLayout& layout) const {
    return over_patches(loss_.generator({{}, fake, {}, {}, communicator_, layout}));
  }

 private:
  static at::Tensor over_patches(const at::Tensor& each) { return each.flatten(1).mean(1); }

  const GanLoss& loss_;
  Communicator& communicator_;
};

/// [N]: the mean absolute difference of each image.
inline at::Tensor mean_distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().flatten(1).mean(1);
}

}  // namespace ganymede
