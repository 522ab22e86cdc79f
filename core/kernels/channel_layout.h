#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/accumulate.h>

namespace ganymede {

/// Where in memory a tensor's channels lie: dense as [outer][channels][inner].
struct ChannelLayout {
  std::int64_t outer, channels, inner;
};

/// Of x [N, C, ...], contiguous or channels_last. Throws c10::Error for other orders.
inline ChannelLayout channel_layout(const at::Tensor& x) {
  const at::MemoryFormat format = x.suggest_memory_format();
  TORCH_CHECK(x.dim() > 1 && x.is_contiguous(format),
              "[N, C, ...] is expected in contiguous or channels_last order");
  const std::int64_t positions = c10::multiply_integers(x.sizes().slice(2));
  if (format == at::MemoryFormat::Contiguous) return {x.size(0), x.size(1), positions};
  return {x.size(0) * positions, x.size(1), 1};
}

}  // namespace ganymede
