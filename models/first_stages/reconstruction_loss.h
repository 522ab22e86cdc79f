#pragma once

#include <memory>

#include "core/options.h"
#include "models/features/lpips.h"

namespace ganymede {

/// How far a reconstruction is from its image.
struct ReconstructionOptions {
  std::string distance = "l1";
  std::string lpips =
      "none";  ///< files of weights: VGG16 and LPIPS's heads, in one or, with a comma between, in two
  double perceptual = 1;
  double gradient = 1;

  bool has_lpips() const { return lpips != "none"; }
  void describe(OptionSchema& schema);
  /// Throws Error(options) where LPIPS cannot look at images of this shape.
  void check(std::int64_t channels, std::int64_t resolution) const;
  /// What is to be told of them before a run starts, or "".
  std::string warning() const;
};

/// For each image the mean over its channels and positions of |x - y| (l1) or (x - y)^2 (l2), and, with weights of
/// LPIPS, `perceptual` times LPIPS(x, y) (Esser et al., arXiv 2012.09841, section 3.2). Without them, in its place
/// `gradient` times the mean absolute difference of the slopes along rows and columns: a reconstruction that is blurred
/// costs more than by its distance alone, though nothing has been learned of what people see.
class ReconstructionLoss {
 public:
  /// Throws Error(checkpoint) where the files do not hold LPIPS.
  ReconstructionLoss(const ReconstructionOptions& options, at::Device device);
  /// x, y [N, C, H, W] in [-1, 1] -> [N].
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& y) const;

 private:
  ReconstructionOptions options_;
  std::shared_ptr<const Lpips> lpips_;
};

}  // namespace ganymede
