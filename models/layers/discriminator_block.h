#pragma once

#include "models/layers/image_norm.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// The residual block of SNGAN's and BigGAN's discriminators (Miyato et al., arXiv 1802.05957, appendix B.4):
///
///     conv2(relu(norm2(conv1(relu(norm1(x)))))) + shortcut(x)
///
/// with 3x3 convolutions, then average pooling by 2 if it halves. The shortcut is a 1x1 convolution where the block
/// changes width or halves, else x itself. There are norms in WGAN-GP's alone (Gulrajani et al., arXiv 1704.00028,
/// appendix C), and not in a first block.
class DiscriminatorBlock final : public torch::nn::Module {
 public:
  struct Options {
    std::int64_t in, hidden, out;  ///< channels before, between and behind the two convolutions
    bool first;                    ///< sees the image itself: does not begin with a ReLU
    bool halve;                    ///< the resolution
    WeightOptions inner;           ///< of the two convolutions
    WeightOptions shortcut;
    ImageNormOptions norm = {};
  };
  explicit DiscriminatorBlock(const Options& options);
  /// x [N, in, H, W] -> [N, out, H, W], or [N, out, H / 2, W / 2].
  at::Tensor forward(const at::Tensor& x);

 private:
  bool first_, halve_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
  std::shared_ptr<GroupNorm> norm1_, norm2_;  // null without
};

}  // namespace ganymede
