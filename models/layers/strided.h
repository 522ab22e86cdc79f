#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// A convolution of stride 2: x [N, in, H, W], H and W even -> [N, out, H / 2, W / 2]. weight [out, in, k, k], k 3, 4
/// or 5. Computes in x's type.
class StridedConv2d : public Weighted {
 public:
  StridedConv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
};

/// A fractionally strided (transposed) convolution: x [N, in, H, W] -> [N, out, 2 H, 2 W]. weight [in, out, k, k],
/// k 3, 4 or 5: the weight of the StridedConv2d out -> in whose adjoint this is. Computes in x's type.
class TransposedConv2d : public Weighted {
 public:
  TransposedConv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options);
  at::Tensor forward(const at::Tensor& x);
};

}  // namespace ganymede
