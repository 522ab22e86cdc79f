#include "models/layers/layer_noise.h"

#include "core/device.h"

namespace ganymede {

at::Tensor layer_noise(const std::string& layer, const at::Tensor& kept, std::int64_t count,
                       const ForwardContext& context) {
  if (!context.noise) return kept;
  const RandomStream random = context.noise->stream(layer, "noise");
  const at::Tensor drawn = random.normal(context.noise->first, count, kept.numel(), kept.scalar_type());
  return to_device(drawn.view({count, 1, kept.size(0), kept.size(1)}), kept.device());
}

}  // namespace ganymede
