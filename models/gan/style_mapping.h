#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

struct StyleMappingOptions {
  std::int64_t latent = 512;  ///< width of z; 0: a style of labels alone
  std::int64_t classes = 0;   ///< width of the one-hot label; 0: labels are not looked at
  std::int64_t style = 512;   ///< width of w and of all layers
  std::int64_t layers = 8;
};

/// The mapping network (Karras et al., arXiv 1812.04948, section 2): z and the label's embedding, each at unit mean
/// square, to w, through layers that learn a hundredth as fast.
class StyleMapping final : public torch::nn::Module {
 public:
  explicit StyleMapping(const StyleMappingOptions& options);
  /// z [N, latent], labels [N] -> w [N, style].
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels);

 private:
  StyleMappingOptions options_;
  std::shared_ptr<Linear> embed_;  // null without classes
  std::vector<std::shared_ptr<Linear>> layers_;
};

}  // namespace ganymede
