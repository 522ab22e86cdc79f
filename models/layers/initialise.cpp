#include "models/layers/initialise.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/philox.h"
#include "models/layers/virtual_batch_norm.h"
#include "models/layers/weighted.h"

namespace ganymede {
namespace {

at::Tensor orthogonal(const RandomStream& random, std::int64_t rows, std::int64_t columns) {
  const bool wide = rows < columns;
  const at::Tensor normal = random.normal(0, wide ? columns : rows, wide ? rows : columns, at::kDouble);
  auto [q, r] = at::linalg_qr(normal);
  // The signs make the distribution uniform over orthogonal matrices.
  q = q * at::sign(at::diagonal(r));
  return wide ? q.t() : q;
}

at::Tensor draw(const std::string& kind, const RandomStream& random, const Weighted& layer) {
  const at::Tensor& weight = layer.weight();
  const std::int64_t rows = weight.size(0), columns = weight.numel() / rows;
  const WeightOptions& options = layer.options();
  if (options.equalised) return random.normal(0, rows, columns, at::kDouble) / options.rate;
  if (kind == "orthogonal") return orthogonal(random, rows, columns) * options.gain;
  if (kind == "n02") return random.normal(0, rows, columns, at::kDouble) * (0.02 * options.gain);
  TORCH_CHECK(kind == "xavier", "initialisation ", kind);
  const double receptive = weight.dim() == 4 ? static_cast<double>(weight.size(2) * weight.size(3)) : 1;
  const double fans = receptive * static_cast<double>(weight.size(0) + weight.size(1));
  return (random.uniform(0, rows, columns, at::kDouble) * 2 - 1) * (options.gain * std::sqrt(6 / fans));
}

}  // namespace

void initialise(torch::nn::Module& network, const std::string& kind, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (const auto* reference = dynamic_cast<const ReferenceBatch*>(item.value().get())) {
      const RandomStream random({.seed = seed, .phase = "initialise", .layer = item.key(), .stream = "z"});
      reference->z().copy_(random.normal(0, reference->z().size(0), reference->z().size(1), at::kDouble));
    }
    const auto buffers = item.value()->named_buffers(/*recurse=*/false);
    if (const at::Tensor* noise = buffers.find("noise")) {
      const RandomStream random(
          {.seed = seed, .phase = "initialise", .layer = item.key(), .stream = "noise"});
      noise->copy_(random.normal(0, 1, noise->numel(), at::kDouble).view(noise->sizes()));
    }
    auto* layer = dynamic_cast<Weighted*>(item.value().get());
    if (!layer) continue;
    const RandomKey key{.seed = seed, .phase = "initialise", .layer = item.key(), .stream = "weight"};
    layer->weight().copy_(draw(kind, RandomStream(key), *layer).view(layer->weight().sizes()));
    if (layer->bias().defined()) layer->bias().fill_(layer->options().bias_start);
    if (const at::Tensor* u = buffers.find("u")) {
      RandomKey buffer_key = key;
      buffer_key.stream = "u";
      const at::Tensor normal = RandomStream(buffer_key).normal(0, 1, u->numel(), at::kDouble)[0];
      u->copy_(normal / normal.norm());
    }
  }
}

}  // namespace ganymede
