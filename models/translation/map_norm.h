#pragma once

#include "models/layers/batch_norm.h"
#include "models/layers/instance_norm.h"

namespace ganymede {

/// How a translation network normalises its maps: over the images that share statistics, with a gain and a bias, or
/// each image by itself, without. A convolution in front of the first has no bias: the norm's own does its work.
struct MapNorm {
  static std::vector<std::string> kinds() { return {"batch", "instance"}; }

  std::shared_ptr<AffineBatchNorm> of_batch = nullptr;  ///< null: instance norm

  /// Registers what `kind` needs as `name` of `network`.
  static MapNorm add(torch::nn::Module& network, const std::string& name, const std::string& kind,
                     std::int64_t channels) {
    if (kind == "instance") return {};
    return {network.register_module(name, std::make_shared<AffineBatchNorm>(channels, BatchNormOptions{}))};
  }
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) const {
    return of_batch ? of_batch->forward(x, context) : instance_norm(x);
  }
};

}  // namespace ganymede
