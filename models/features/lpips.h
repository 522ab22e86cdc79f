#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "models/features/frozen_convolution.h"
#include "models/features/weights_source.h"

namespace ganymede {

/// LPIPS, a learned distance between two images (Zhang et al., arXiv 1801.03924), with VGG16 as its trunk:
///
///     d(a, b) = sum over levels l of mean over positions of sum over channels c of
///               w_lc (f_lc(a) / |f_l(a)| - f_lc(b) / |f_l(b)|)^2
///
/// f_l: what relu1_2, 2_2, 3_3, 4_3 and 5_3 give; |.| over channels, + 1e-10; w: the heads, not negative.
///
///     const Lpips lpips = Lpips::load("vgg16.pth", "lpips-vgg.pth", {});
///     const at::Tensor distances = lpips.distance(a, b);  // [N]
class Lpips {
 public:
  static constexpr std::size_t levels = 5;

  /// Names of the trunk: torchvision's vgg16 (features.0.weight, ...) or the lpips package's whole network
  /// (net.slice1.0.weight, ...); of the heads: lin0.model.1.weight, ... Both may be in one file. Throws
  /// Error(checkpoint) with one line where a tensor is missing or of wrong shape.
  static Lpips load(const std::filesystem::path& trunk, const std::filesystem::path& heads,
                    const FrozenPlace& place);

  Lpips(const WeightsSource& trunk, const WeightsSource& heads, const FrozenPlace& place);

  /// a, b: [N, 3, H, W] float in [-1, 1], in host memory or on the place's device; at least 16x16. Returns
  /// [N] float32 on the place's device. Differentiable with respect to both.
  at::Tensor distance(const at::Tensor& a, const at::Tensor& b) const;

  /// Of the trunk, and of the heads.
  static std::array<std::int64_t, 2> parameter_counts();

  /// XXH3-64 of trunk and heads in 16 digits, the same in any layout and file.
  const std::string& digest() const { return digest_; }

 private:
  std::array<at::Tensor, levels> unit_features(const at::Tensor& images) const;

  FrozenPlace place_;
  std::vector<FrozenConvolution> convolutions_;  ///< 13
  std::array<at::Tensor, levels> heads_;         ///< [1, C, 1, 1]
  at::Tensor shift_, scale_;
  std::string digest_;
};

}  // namespace ganymede
