#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace ganymede {

/// Where a network that is never trained computes, and in what.
struct FrozenPlace {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  ///< float32 or bfloat16
};

struct ConvolutionShape {
  std::array<std::int64_t, 2> stride{1, 1}, padding{0, 0};  ///< height, width
  bool relu = true;
};

/// y = max(0, W * x + b) in one pass, or without the maximum. On the CPU the weights are packed once for
/// oneDNN, the first time an image size is seen; the maximum is part of the convolution's own store.
///
/// x is [N, in, H, W], channels_last, of the place's dtype on its device; so is y. The weights have no gradients; an x
/// that has one takes libtorch's plain convolution.
class FrozenConvolution {
 public:
  FrozenConvolution() = default;
  /// weight [out, in, kH, kW] and bias [out], of any floating type; an undefined bias is 0.
  FrozenConvolution(const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape,
                    const FrozenPlace& place);

  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor fused(const at::Tensor& x) const;

  at::Tensor weight_, bias_;
  mutable at::Tensor packed_;
  ConvolutionShape shape_;
  bool fuses_ = false;
};

}  // namespace ganymede
