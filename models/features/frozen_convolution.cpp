#include "models/features/frozen_convolution.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/mkldnn_reorder_conv2d_weight.h>

#include <string_view>

namespace ganymede {
namespace {

using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t,
                             std::string_view, c10::List<std::optional<at::Scalar>>,
                             std::optional<std::string_view>);

/// oneDNN's convolution with an element-wise function at its end, which libtorch offers by name only.
const c10::TypedOperatorHandle<Pointwise>& pointwise() {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "").typed<Pointwise>();
  return handle;
}

constexpr std::array<std::int64_t, 2> dilation{1, 1};

}  // namespace

FrozenConvolution::FrozenConvolution(const at::Tensor& weight, const at::Tensor& bias,
                                     const ConvolutionShape& shape, const FrozenPlace& place)
    : shape_(shape), fuses_(place.device.is_cpu() && at::globalContext().userEnabledMkldnn()) {
  const auto options = at::TensorOptions(place.dtype).device(place.device);
  weight_ = weight.detach().to(options).contiguous(at::MemoryFormat::ChannelsLast);
  bias_ = bias.defined() ? bias.detach().to(options).contiguous() : at::zeros({weight.size(0)}, options);
}

at::Tensor FrozenConvolution::operator()(const at::Tensor& x) const {
  if (fuses_ && !(at::GradMode::is_enabled() && x.requires_grad())) return fused(x);
  const at::Tensor y = at::conv2d(x, weight_, bias_, shape_.stride, shape_.padding);
  return shape_.relu ? y.relu_() : y;
}

at::Tensor FrozenConvolution::fused(const at::Tensor& x) const {
  if (!packed_.defined())
    packed_ = at::mkldnn_reorder_conv2d_weight(weight_.to_mkldnn(), shape_.padding, shape_.stride, dilation,
                                               1, x.sizes());
  return pointwise().call(x, packed_, bias_, shape_.padding, shape_.stride, dilation, 1,
                          shape_.relu ? "relu" : "none", c10::List<std::optional<at::Scalar>>(),
                          std::nullopt);
}

}  // namespace ganymede
