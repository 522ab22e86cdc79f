#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// How much of image and of noise there is, x_t = alpha x_0 + sigma eps: [N], float64 on the host.
struct NoiseLevel {
  at::Tensor alpha, sigma;
};

/// The backward step q(x_s | x_t, x_0) from a noisier level t to a level s (DDPM, equations 6 and 7, for any two
/// levels). With r = alpha_t / alpha_s:
///
///     forward variance    sigma_t^2 - r^2 sigma_s^2                        of x_t given x_s
///     posterior variance  sigma_s^2 / sigma_t^2 forward variance           of x_s given x_t and x_0
///     mean                r sigma_s^2 / sigma_t^2 x_t + alpha_s forward variance / sigma_t^2 x_0
struct BackwardStep {
  BackwardStep(const NoiseLevel& t, const NoiseLevel& s);
  /// For x_t and x_0 [N, C, H, W].
  at::Tensor mean(const at::Tensor& xt, const at::Tensor& x0) const;

  at::Tensor forward_variance, posterior_variance;  ///< [N]
  at::Tensor of_noisy, of_image;                    ///< [N], the factors of x_t and x_0
};

}  // namespace ganymede
