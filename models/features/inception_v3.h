#pragma once

#include <map>
#include <memory>

#include "core/named_tensors.h"
#include "models/features/feature_extractor.h"
#include "models/features/frozen_convolution.h"

namespace ganymede {

/// Inception-v3 (Szegedy et al., arXiv 1512.00567) as TensorFlow released it in December 2015, which FID is
/// defined on (Heusel et al., arXiv 1706.08500). It differs from torchvision's in that average pools leave
/// the padding out of the mean, that Mixed_7c pools by the maximum, and in its 1008 classes.
///
/// Batch norms are folded into the convolutions in float64. Where a block pools by the mean and then convolves
/// 1x1, the two are exchanged, which they allow: the mean is taken of 32 to 192 channels in place of 192 to
/// 2048.
class InceptionV3 {
 public:
  static constexpr std::int64_t image_size = 299, dimensions = 2048, spatial_dimensions = 2023;

  /// `weights` under torchvision's names (read_inception).
  InceptionV3(const NamedTensors& weights, const FrozenPlace& place);

  /// x [N, 3, 299, 299], channels_last, about [-1, 1]:
  ///   pool     [N, 2048]: the mean of Mixed_7c over its 8x8 positions
  ///   spatial  [N, 2023]: the first 7 channels of Mixed_6d.branch1x1 after ReLU at 17x17 positions, channels
  ///            last: spatial FID (Nash et al., arXiv 2103.03841; the layer is that of OpenAI's evaluator)
  ///   logits   [N, classes]: of fc, without its bias, as the Inception score has them
  Features forward(const at::Tensor& x, const FeatureRequest& request) const;

 private:
  class Joined;

  at::Tensor conv(const std::string& name, const at::Tensor& x) const { return convolutions_.at(name)(x); }
  /// One convolution after the other: "block.branch_1", "block.branch_2", ...
  at::Tensor chain(const std::string& stem, int layers, at::Tensor x) const;
  void pool_by_mean(const std::string& block, const at::Tensor& x, Joined& out) const;

  at::Tensor stem(const at::Tensor& x) const;
  at::Tensor mixed_a(const std::string& block, const at::Tensor& x) const;
  at::Tensor mixed_b(const std::string& block, const at::Tensor& x) const;
  at::Tensor mixed_c(const std::string& block, const at::Tensor& x, at::Tensor* branch1x1 = nullptr) const;
  at::Tensor mixed_d(const std::string& block, const at::Tensor& x) const;
  at::Tensor mixed_e(const std::string& block, const at::Tensor& x, bool pools_by_maximum) const;

  std::map<std::string, FrozenConvolution> convolutions_;
  std::map<std::string, at::Tensor> pooled_bias_;  ///< of branch_pool, by block
  at::Tensor output_;                              ///< [classes, 2048] float32
};

}  // namespace ganymede
