#include "models/gan/gradient_penalty.h"

#include <torch/csrc/autograd/autograd.h>

namespace ganymede {

at::Tensor gradient_penalty(const GradientPenaltyOptions& options, Discriminator& discriminator,
                            const at::Tensor& real, const at::Tensor& fake, const at::Tensor& labels,
                            const at::Tensor& eps, const ForwardContext& context, const at::Tensor& scale) {
  const bool interpolate = options.kind == "wgan-gp";
  at::Tensor x = (interpolate ? at::lerp(fake, real, eps.view({-1, 1, 1, 1})) : real).detach();
  x.requires_grad_(true);
  const at::Tensor logits = discriminator.forward(x, labels, context);
  at::Tensor sum = logits.sum();
  if (scale.defined()) sum = sum * scale.to(sum.scalar_type());
  at::Tensor gradient = torch::autograd::grad({sum}, {x}, {}, /*retain_graph=*/true,
                                              /*create_graph=*/true)[0];
  if (scale.defined()) gradient = gradient / scale.to(gradient.scalar_type());
  if (!interpolate) return options.weight / 2 * gradient.square().flatten(1).sum(1);
  // norm() has a gradient where it is zero, the square root of the squares has none.
  return options.weight * (gradient.flatten(1).norm(2, {1}) - 1).square();
}

}  // namespace ganymede
