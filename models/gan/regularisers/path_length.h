#pragma once

#include <ATen/ops/zeros.h>

#include "core/options.h"
#include "models/gan/style_generator.h"

namespace ganymede {

/// Path length regularisation of a StyleGenerator (Karras et al., arXiv 1912.04958, section 3.2 and appendix B): steps
/// in w should change images by the same amount, wherever and in whatever direction. An image:
///
///     weight (l - a)^2,   l = |J_w^T y| = sqrt(mean over layers of |d(g(w) . y) / d w_layer|^2)
///
/// with y normal pixels of deviation 1 / sqrt(height width) and a the moving average of l over updates before this one
/// (a += decay (mean of l - a) after each). With the mean over layers and this y, weight 2 is the paper's gamma_pl =
/// ln 2 / (r^2 (ln r - ln 2)) at any resolution r.
///
/// It is an update of G of its own every `every` steps, before which the step's other updates are done; it then weighs
/// `every` times as much. It takes no real images.
struct PathLengthOptions {
  double weight = 0;
  double decay = 0.01;
  std::int64_t every = 4;   ///< steps
  std::int64_t shrink = 2;  ///< its batch is that much smaller than the step's

  /// Adds "gan.path_length" and "gan.path_length_...".
  void describe(OptionSchema& schema);
  bool wanted() const { return weight > 0; }
  /// In steps 1, 1 + every, ...
  bool due(std::int64_t step) const { return wanted() && (step - 1) % every == 0; }
};

/// l of N images [N], differentiable. `noise` is normal [N, C H W]; `ws` of generator.styles(), with its graph. With
/// `scale`, a scalar on the device, the gradient is computed as many times as large and divided by it after.
at::Tensor path_lengths(StyleGenerator& generator, const at::Tensor& ws, const at::Tensor& noise,
                        const ForwardContext& context, const at::Tensor& scale = {});

/// What the penalty remembers.
class PathLength {
 public:
  PathLength(const PathLengthOptions& options, at::Device device)
      : options_(options), mean_(at::zeros({}, at::TensorOptions(at::kDouble).device(device))) {}

  /// [N] of lengths [N].
  at::Tensor penalty(const at::Tensor& lengths) const;
  /// After an update: the mean length over its global batch, a float64 scalar.
  void advance(const at::Tensor& mean) { mean_.lerp_(mean, options_.decay); }
  /// a, a float64 scalar: part of checkpoints.
  const at::Tensor& mean() const { return mean_; }

 private:
  PathLengthOptions options_;
  at::Tensor mean_;
};

}  // namespace ganymede
