#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// The residual block of SNGAN's and BigGAN's discriminators (Miyato et al., arXiv 1802.05957, appendix B.4):
///
///     conv2(relu(conv1(relu(x)))) + shortcut(x)
///
/// with 3x3 convolutions, then average pooling by 2 if it halves. The shortcut is a 1x1 convolution where the block
/// changes width or halves, else x itself.
class DiscriminatorBlock final : public torch::nn::Module {
 public:
  struct Options {
    std::int64_t in, hidden, out;  ///< channels before, between and behind the two convolutions
    bool first;                    ///< sees the image itself: does not begin with a ReLU
    bool halve;                    ///< the resolution
    WeightOptions inner;           ///< of the two convolutions
    WeightOptions shortcut;
  };
  explicit DiscriminatorBlock(const Options& options);
  /// x [N, in, H, W] -> [N, out, H, W], or [N, out, H / 2, W / 2].
  at::Tensor forward(const at::Tensor& x);

 private:
  bool first_, halve_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
};

}  // namespace ganymede
