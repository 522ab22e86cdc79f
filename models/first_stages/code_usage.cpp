#include "models/first_stages/code_usage.h"

#include <ATen/ATen.h>

#include "core/device.h"

namespace ganymede {

CodeUsage::CodeUsage(std::int64_t codes, at::Device device)
    : counts_(at::zeros({codes}, at::TensorOptions(at::kDouble).device(device))) {}

void CodeUsage::add(const at::Tensor& counts) {
  counts_.add_(counts);
}

at::Tensor CodeUsage::unused() const {
  return (counts_ == 0).sum();
}

void CodeUsage::restart(Player& player, const std::string& weight, const at::Tensor& places) {
  const at::NoGradGuard no_grad;
  const at::Tensor kept = player.guard().kept(), unused = (counts_ == 0).logical_and(kept).unsqueeze(1);
  player.change_state([&](const NamedTensors& kind) {
    for (const auto& [name, tensor] : kind) {
      if (!name.ends_with("/" + weight)) continue;
      const bool moment = name.find("/adam_") != name.npos;
      tensor.copy_(
          at::where(unused, moment ? at::zeros_like(tensor) : places.to(tensor.scalar_type()), tensor));
    }
  });
  counts_.mul_(1 - kept);
}

at::Tensor drawn_vectors(const RandomKey& key, std::int64_t codes, std::int64_t batch,
                         const std::vector<VectorsOfBatch>& parts) {
  at::Tensor drawn;
  for (const auto& [vectors, first] : parts) {
    const std::int64_t count = vectors.size(0), places = vectors.size(2) * vectors.size(3);
    const at::Tensor chosen =
        to_device(RandomStream(key).integers(0, codes, batch * places), vectors.device()) - first * places;
    const at::Tensor flat = vectors.permute({0, 2, 3, 1}).reshape({count * places, vectors.size(1)});
    const at::Tensor here = (chosen >= 0).logical_and(chosen < count * places).unsqueeze(1);
    const at::Tensor rows = flat.index_select(0, chosen.clamp(0, count * places - 1)) * here;
    drawn = drawn.defined() ? drawn + rows : rows;
  }
  return drawn;
}

}  // namespace ganymede
