#include "models/gan/gradient_penalty.h"

#include <torch/csrc/autograd/autograd.h>

namespace ganymede {

at::Tensor gradient_penalty(const GradientPenaltyOptions& options, Discriminator& discriminator,
                            const at::Tensor& real, const at::Tensor& fake, const at::Tensor& labels,
                            const at::Tensor& eps, const ForwardContext& context) {
  const bool interpolate = options.kind == "wgan-gp";
  at::Tensor x = (interpolate ? at::lerp(fake, real, eps.view({-1, 1, 1, 1})) : real).detach();
  x.requires_grad_(true);
  const at::Tensor logits = discriminator.forward(x, labels, context);
  const at::Tensor gradient = torch::autograd::grad({logits.sum()}, {x}, {}, /*retain_graph=*/true,
                                                    /*create_graph=*/true)[0];
  if (!interpolate) return options.weight / 2 * gradient.square().flatten(1).sum(1);
  // norm() has a gradient where it is zero, the square root of the squares has none.
  return options.weight * (gradient.flatten(1).norm(2, {1}) - 1).square();
}

}  // namespace ganymede
