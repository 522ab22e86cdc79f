#pragma once

#include "models/layers/module_list.h"
#include "models/layers/strided.h"
#include "models/translation/translator.h"

namespace ganymede {

/// What a residual network that translates images looks like.
struct ResnetTranslatorOptions {
  std::int64_t source_channels = 3, image_channels = 3;
  std::int64_t channels = 64;  ///< of the largest map; four times as many of the smallest
  std::int64_t blocks = 9;     ///< residual ones
};

/// A 3x3 convolution behind reflection, instance norm, ReLU, the same again without ReLU, added to x.
class ReflectedBlock : public torch::nn::Module {
 public:
  explicit ReflectedBlock(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::shared_ptr<Conv2d> conv1_, conv2_;
};

/// The generator of CycleGAN (Zhu et al., arXiv 1703.10593, appendix 7.2, after Johnson et al.): c7s1-64, d128, d256,
/// `blocks` times R256, u128, u64, c7s1-3 and tanh, in the paper's words. Instance norm without gain and bias and ReLU
/// follow each convolution but the last; where the size stays, maps are reflected at their edges. 4 divides height and
/// width, both at least 8.
class ResnetTranslator final : public Translator {
 public:
  explicit ResnetTranslator(const ResnetTranslatorOptions& options);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) override;

 private:
  std::shared_ptr<Conv2d> first_;
  std::shared_ptr<StridedConv2d> down1_, down2_;
  std::shared_ptr<ModuleList<ReflectedBlock>> blocks_;
  std::shared_ptr<TransposedConv2d> up2_, up1_;
  std::shared_ptr<Conv2d> last_;
};

}  // namespace ganymede
