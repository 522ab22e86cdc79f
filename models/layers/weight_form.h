#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a convolution's kernel is made into before it is used. The last two fold a resampling into a 3x3
/// kernel (exact identities), which then costs 16 multiplications a position of the smaller image where it
/// cost 36.
enum class WeightForm {
  plain,
  /// Nearest upsampling x2, then the convolution = one 2x2 convolution (padding 1) to four times the
  /// channels, one for each of the four positions that an input pixel becomes: [out, in, 3, 3] -> [4 out, in,
  /// 2, 2]: what upsampled_convolution() takes.
  after_upsampling,
  /// The convolution, then 2x2 average pooling = one 4x4 convolution of stride 2 (padding 1):
  /// [out, in, 3, 3] -> [out, in, 4, 4].
  before_pooling,
};

/// A spectrally normalised weight's factors: W / sigma, sigma = u^T W v with u [out], v [rest in
/// channels_last order] constants to autograd. Undefined u and v: no normalisation; an undefined sigma is
/// 1, a defined one then a constant.
struct SpectralFactors {
  at::Tensor u, v;
  at::Tensor sigma;  ///< a scalar, of the weight's type and beside it
};

/// weight (dense; four-dimensional ones in channels_last order) in its form, divided by sigma and converted
/// to `type`, without a graph: what a phase computes once.
at::Tensor make_weight(const at::Tensor& weight, WeightForm form, const SpectralFactors& spectral,
                       at::ScalarType type);

/// `made` (by make_weight, of the same arguments) as a function of the weight, differentiable to any order.
at::Tensor use_weight(const at::Tensor& weight, WeightForm form, const SpectralFactors& spectral,
                      const at::Tensor& made);

}  // namespace ganymede
