#include "models/layers/adaptive_instance_norm.h"

namespace ganymede {

AdaptiveInstanceNorm::AdaptiveInstanceNorm(std::int64_t channels, std::int64_t style)
    : alone_(make_single_communicator()) {
  affine_ = register_module("affine",
                            std::make_shared<Linear>(style, 2 * channels, WeightOptions{.equalised = true}));
}

at::Tensor AdaptiveInstanceNorm::forward(const at::Tensor& x, const at::Tensor& w) {
  const std::vector<at::Tensor> styles = affine_->forward(w.to(affine_->weight().scalar_type())).chunk(2, 1);
  // Batch norm over groups of one image.
  return normalise_batch(x, styles[0] + 1, styles[1], {.eps = 1e-8}, {0, x.size(0), 1}, *alone_).y;
}

}  // namespace ganymede
