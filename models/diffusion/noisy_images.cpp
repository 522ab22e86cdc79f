#include "models/diffusion/noisy_images.h"

#include <ATen/ATen.h>

#include "core/device.h"

namespace ganymede {

NoisyImages noisy_images(const DiffusionProcess& process, const at::Tensor& x0, const RandomKey& key,
                         std::int64_t first) {
  const std::int64_t count = x0.size(0), width = x0.numel() / count;
  RandomKey eps_key = key, time_key = key;
  eps_key.stream = "eps";
  time_key.stream = "time";
  const at::Tensor normal =
      RandomStream(eps_key).normal(first, count, width, x0.scalar_type()).view(x0.sizes());
  NoisyImages noisy;
  noisy.eps = to_device(normal.contiguous(at::MemoryFormat::ChannelsLast), x0.device());
  noisy.times = process.times(RandomStream(time_key).uniform(first, count, 1, at::kDouble).squeeze(1));
  const Coefficients& c = noisy.coefficients = process.coefficients(noisy.times);
  noisy.xt = per_image(c.alpha, x0) * x0 + per_image(c.sigma, x0) * noisy.eps;
  return noisy;
}

}  // namespace ganymede
