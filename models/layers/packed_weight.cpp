#include "models/layers/packed_weight.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <string_view>

namespace ganymede {
namespace {

/// Rows below which packing costs more than it saves where a weight is used once.
constexpr std::int64_t least_rows = 256;

using Supported = bool();
using Reorder = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);
using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                             c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

/// An operator of oneDNN that libtorch offers by name only.
template <class Signature>
c10::TypedOperatorHandle<Signature> named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

bool bfloat16_is_served() {
  static const bool served = at::globalContext().hasMKLDNN() && named<Supported>("mkldnn::_is_mkldnn_bf16_supported").call();
  return served && at::globalContext().userEnabledMkldnn();
}

}  // namespace

bool PackedWeight::serves(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && !at::GradMode::is_enabled() &&
         x.numel() >= least_rows * x.size(-1) && bfloat16_is_served();
}

at::Tensor PackedWeight::linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto reorder = named<Reorder>("mkldnn::_reorder_linear_weight");
  static const auto pointwise = named<Pointwise>("mkldnn::_linear_pointwise");
  if (!of_.defined() || !of_.is_alias_of(weight) || version_ != weight._version()) {
    packed_ = reorder.call(weight, c10::SymInt(x.numel() / x.size(-1)));
    of_ = weight;
    version_ = weight._version();
  }
  return pointwise.call(x, packed_, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                        c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

}  // namespace ganymede
