#pragma once

#include "core/options.h"
#include "core/philox.h"
#include "models/gan/network.h"

namespace ganymede {

struct GradientPenaltyOptions {
  double weight = 0;
  std::string kind = "wgan-gp";
};

/// A penalty on D's gradient with respect to its input, one number an image [N], weighted:
///
///   wgan-gp  weight (|grad D(x_hat)| - 1)^2 with x_hat = eps x + (1 - eps) G(z), eps uniform in [0, 1) an
///   image
///            (Gulrajani et al., arXiv 1704.00028, equation 3)
///   r1       weight / 2 |grad D(x)|^2 (Mescheder et al., arXiv 1801.04406, equation 9)
///
/// real, fake [N, C, H, W]; D is conditioned on the real images' labels. `eps` [N, 1] is used by wgan-gp
/// only.
///
/// With `scale`, a scalar on the device, D's gradient is computed `scale` times as large and then divided by
/// it, in the type of `real`: in float16 maps it would vanish otherwise. The penalty is the same.
at::Tensor gradient_penalty(const GradientPenaltyOptions& options, Discriminator& discriminator,
                            const at::Tensor& real, const at::Tensor& fake, const at::Tensor& labels,
                            const at::Tensor& eps, const ForwardContext& context,
                            const at::Tensor& scale = {});

}  // namespace ganymede
