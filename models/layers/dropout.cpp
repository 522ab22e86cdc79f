#include "models/layers/dropout.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/device.h"
#include "core/kernels/cpu/dropout.h"
#include "core/philox_key.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// cpu::drop(), which is linear in x and its own adjoint: what was dropped is drawn again on the way back.
class Drop : public torch::autograd::Function<Drop> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const cpu::Drops& drops) {
    context->saved_data["drops"] =
        std::vector<std::int64_t>{drops.key[0], drops.key[1], drops.first, drops.threshold};
    return cpu::drop(x, drops);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto kept = context->saved_data["drops"].toIntVector();
    const cpu::Drops drops{{static_cast<std::uint32_t>(kept[0]), static_cast<std::uint32_t>(kept[1])},
                           kept[2],
                           static_cast<std::uint32_t>(kept[3])};
    return {apply(gradients[0].contiguous(at::MemoryFormat::ChannelsLast), drops), {}};
  }
};

}  // namespace

Dropout::Dropout(double p, std::string layer)
    : threshold_(static_cast<std::uint32_t>(std::lround(p * 65536))), layer_(std::move(layer)) {}

at::Tensor Dropout::forward(const at::Tensor& x, const LayerDraws* draws) const {
  if (!draws || threshold_ == 0) return x;
  RandomKey key = draws->key;
  key.layer = layer_;
  key.stream = "dropout";
  if (cpu::can_drop(x)) return Drop::apply(x, cpu::Drops{philox_key(key), draws->first, threshold_});
  const RandomStream random(key);
  const std::int64_t width = x.numel() / x.size(0);
  const float scale = 65536.0F / static_cast<float>(65536 - threshold_);
  at::Tensor mask = at::empty({x.size(0), width}, at::kFloat);
  float* out = mask.data_ptr<float>();
  for (std::int64_t row = 0; row < x.size(0); ++row)
    for (std::int64_t i = 0; i < width; i += 4) {
      const std::uint64_t bits =
          random.bits(static_cast<std::uint64_t>(draws->first + row), static_cast<std::uint32_t>(i / 4));
      for (std::int64_t j = 0; j < std::min<std::int64_t>(4, width - i); ++j)
        *out++ = ((bits >> (16 * j)) & 0xFFFF) < threshold_ ? 0.0F : scale;
    }
  mask = to_device(mask.to(x.scalar_type()), x.device()).view(x.sizes());
  return x * (x.dim() == 4 ? mask.contiguous(x.suggest_memory_format()) : mask);
}

}  // namespace ganymede
