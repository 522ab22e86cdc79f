#pragma once

#include <ATen/TensorOperators.h>

#include "core/named_tensors.h"

namespace ganymede {

/// Dynamic loss scaling (Micikevicius et al., arXiv 1710.03740, section 3.2): the loss is multiplied by a
/// power of two before backward, so that small gradients of float16 maps do not vanish, and the weights'
/// gradients are divided by it. An update whose gradients overflowed is skipped and halves the scale; 2000
/// updates in a row without one double it.
///
///     (loss * scale.scale()).backward();  // gradients / scale.scale(), summed over ranks
///     scale.follow(norm.isfinite());
///     adam_step(..., scale.gate());       // decides on the device: the host does not wait
///
/// Everything is float64 on `device`, and the same on all ranks when `finite` is.
class LossScale {
 public:
  static constexpr double first = 65536, least = 1, largest = 1 << 24;
  static constexpr std::int64_t growth_interval = 2000;  ///< updates

  explicit LossScale(at::Device device);

  /// A scalar, within [least, largest].
  at::Tensor scale() const { return figures_[2]; }
  /// A scalar: updates skipped so far.
  at::Tensor skipped() const { return figures_[1]; }
  /// A bool scalar: whether the last update is skipped.
  at::Tensor is_skipped() const { return figures_[0] != 0; }
  /// adam_step()'s: whether the last update is skipped, and how many were, with it.
  at::Tensor gate() const { return figures_.narrow(0, 0, 2); }
  /// After each update's gradients are known: `finite`, a bool scalar, says whether all of them are.
  void follow(const at::Tensor& finite);

  /// What a checkpoint holds, as views: scale, skipped, good_updates (in a row, since the last change).
  NamedTensors state() const;
  const at::Tensor& figures() const { return figures_; }

 private:
  at::Tensor figures_;  // skip, skipped, scale, good updates
};

}  // namespace ganymede
