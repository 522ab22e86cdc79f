#pragma once

#include "models/gan/network.h"

namespace ganymede {

/// Makes one image of another: x [N, C, H, W] in [-1, 1] -> [N, C', H, W] in (-1, 1).
class Translator : public Network {
 public:
  virtual at::Tensor forward(const at::Tensor& x, const ForwardContext& context) = 0;
};

}  // namespace ganymede
