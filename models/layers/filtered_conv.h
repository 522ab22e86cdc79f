#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// The filter of models/layers/filter.h, then a 3x3 convolution of stride 2: x [N, in, H, W], H and W even ->
/// [N, out, H / 2, W / 2] (Karras et al., arXiv 1912.04958, appendix B). weight [out, in, 3, 3]. In x's type.
class FilteredConv2d : public Weighted {
 public:
  FilteredConv2d(std::int64_t in, std::int64_t out, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
};

}  // namespace ganymede
