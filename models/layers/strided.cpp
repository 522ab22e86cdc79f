#include "models/layers/strided.h"

#include <ATen/ATen.h>

#include "models/layers/convolution.h"

namespace ganymede {

StridedConv2d::StridedConv2d(std::int64_t in, std::int64_t out, std::int64_t kernel,
                             const WeightOptions& options)
    : Weighted({out, in, kernel, kernel}, options) {}

at::Tensor StridedConv2d::forward(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return convolution(x, effective_weight(type), effective_bias(type), 2, (weight().size(2) - 1) / 2);
}

TransposedConv2d::TransposedConv2d(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                   const WeightOptions& options)
    : Weighted({in, out, kernel, kernel}, out, options) {}

at::Tensor TransposedConv2d::forward(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  const std::int64_t kernel = weight().size(2);
  return at::conv_transpose2d(x, effective_weight(type), effective_bias(type), 2, (kernel - 1) / 2,
                              kernel % 2);
}

}  // namespace ganymede
