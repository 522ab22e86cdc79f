#pragma once

#include "core/philox.h"
#include "models/diffusion/process.h"

namespace ganymede {

/// Images as noisy as a step of training sees them, x_t = alpha x_0 + sigma eps at a time drawn for each. [N, C, H, W];
/// times [N] float64 on the host.
struct NoisyImages {
  at::Tensor xt, eps, times;
  Coefficients coefficients;
};

/// Times and noise depend on the key and the images' positions in the global batch, first, ..., alone.
NoisyImages noisy_images(const DiffusionProcess& process, const at::Tensor& x0, const RandomKey& key,
                         std::int64_t first);

}  // namespace ganymede
