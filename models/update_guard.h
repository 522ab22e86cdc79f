#pragma once

#include <ATen/TensorOperators.h>

#include "core/named_tensors.h"

namespace ganymede {

/// Which updates are left out: those with a loss or gradient that is not finite, whatever the precision. After
/// `patience` of them one more is hopeless; `atonement` good ones make up for one.
///
/// With `scales`, dynamic loss scaling (Micikevicius et al., arXiv 1710.03740, section 3.2): the loss is multiplied
/// by a power of two before backward, so that small gradients of float16 maps do not vanish, and the weights'
/// gradients are divided by it. An update that is left out halves the scale, and is not hopeless before the scale is
/// the least; 2000 others in a row double it.
///
///     (loss * guard.scale()).backward();  // gradients / guard.scale(), summed over ranks
///     guard.follow(norm.isfinite());
///     adam_step(..., guard.gate());       // decides on the device: the host does not wait
///
/// Everything is float64 on `device`, and the same on all ranks when `finite` is.
class UpdateGuard {
 public:
  static constexpr double first = 65536, least = 1, largest = 1 << 24;
  static constexpr std::int64_t growth_interval = 2000;  ///< updates
  static constexpr std::int64_t patience = 3, atonement = 128;  ///< updates

  UpdateGuard(at::Device device, bool scales);

  /// Whether losses are scaled; else scale() is 1 for ever.
  bool scales() const { return scales_; }
  /// A scalar, within [least, largest].
  at::Tensor scale() const { return figures_[2]; }
  /// A scalar: updates skipped so far.
  at::Tensor skipped() const { return figures_[1]; }
  /// A bool scalar: whether the last update is skipped.
  at::Tensor is_skipped() const { return figures_[0] != 0; }
  /// A scalar: 0 where the last update is skipped, else 1.
  at::Tensor kept() const { return 1 - figures_[0]; }
  /// adam_step()'s: whether the last update is skipped, and how many were, with it.
  at::Tensor gate() const { return figures_.narrow(0, 0, 2); }
  /// After each update's gradients are known: `finite`, a bool scalar, says whether all of them are. Returns a bool
  /// scalar: whether there is hope, no matter if this one is skipped.
  at::Tensor follow(const at::Tensor& finite);

  /// Patience begins anew.
  void forgive() { figures_[3].zero_(); }

  /// What a checkpoint holds, as views: skipped, debt (updates that nothing has made up for), and where the loss is
  /// scaled scale and good_updates (in a row, since the scale's last change).
  NamedTensors state() const;
  const at::Tensor& figures() const { return figures_; }

 private:
  bool scales_;
  at::Tensor figures_;  // skip, skipped, scale, debt, good updates
};

}  // namespace ganymede
