#include "models/layers/filtered_conv.h"

#include <ATen/ATen.h>

#include "models/layers/convolution.h"
#include "models/layers/filter.h"

namespace ganymede {

FilteredConv2d::FilteredConv2d(std::int64_t in, std::int64_t out, const WeightOptions& options)
    : Weighted({out, in, 3, 3}, options) {}

at::Tensor FilteredConv2d::forward(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return convolution(filtered(x, {.before = 2, .after = 2}), effective_weight(type), effective_bias(type), 2,
                     0);
}

}  // namespace ganymede
