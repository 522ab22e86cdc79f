#include "models/diffusion/backward_step.h"

#include "models/diffusion/process.h"

namespace ganymede {

BackwardStep::BackwardStep(const NoiseLevel& t, const NoiseLevel& s) {
  const at::Tensor ratio = t.alpha / s.alpha, inverse = t.sigma.square().reciprocal();
  forward_variance = t.sigma.square() - (ratio * s.sigma).square();
  posterior_variance = s.sigma.square() * inverse * forward_variance;
  of_noisy = ratio * s.sigma.square() * inverse;
  of_image = s.alpha * forward_variance * inverse;
}

at::Tensor BackwardStep::mean(const at::Tensor& xt, const at::Tensor& x0) const {
  return per_image(of_noisy, xt) * xt + per_image(of_image, x0) * x0;
}

}  // namespace ganymede
