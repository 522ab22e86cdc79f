#include "models/gan/gradient_penalty.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace ganymede {

void GradientPenaltyOptions::describe(OptionSchema& schema) {
  schema.add("gan.gradient_penalty", weight, "", {0, 1e6}, "weight of the gradient penalty, 0 for none");
  schema.add("gan.gradient_penalty_kind", kind, {"wgan-gp", "dragan", "r1", "r2"},
             "where and how D's gradient is penalised");
  schema.add("gan.gradient_penalty_target", target, "", {1e-6, 1e6},
             "norm of D's gradient that wgan-gp and dragan ask for");
  schema.add("gan.gradient_penalty_noise", noise, "", {0, 100},
             "deviation of dragan's noise about real images, which lie in [-1, 1]");
  schema.add("gan.gradient_penalty_every", every, "updates", {1, 1e6},
             "updates of D between evaluations of the penalty, which then weighs as many times as much");
  schema.add("gan.gradient_penalty_apart", apart,
             "the penalty has updates of its own, and D's lr and betas are those of lazy regularisation");
}

at::Tensor penalty_noise(const GradientPenaltyOptions& options, const at::Tensor& real,
                         const ImageDraws& draws) {
  if (options.kind == "wgan-gp") return draws.uniform("penalty", 1);
  if (options.kind == "dragan") return draws.normal("penalty", c10::multiply_integers(real.sizes().slice(1)));
  return {};
}

namespace {

at::Tensor points(const GradientPenaltyOptions& options, const JudgedImages& judged,
                  const at::Tensor& noise) {
  if (options.kind == "wgan-gp") {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(judged.real.dim()), 1);
    shape[0] = -1;
    return at::lerp(judged.fake, judged.real, noise.view(shape));
  }
  if (options.kind == "dragan") return judged.real + options.noise * noise.view(judged.real.sizes());
  return options.kind == "r2" ? judged.fake : judged.real;
}

}  // namespace

at::Tensor differentiable_gradient(at::Tensor sum, const at::Tensor& x, const at::Tensor& scale) {
  if (scale.defined()) sum = sum * scale.to(sum.scalar_type());
  at::Tensor gradient = torch::autograd::grad({sum}, {x}, {}, /*retain_graph=*/true,
                                              /*create_graph=*/true)[0];
  if (scale.defined()) gradient = gradient / scale.to(gradient.scalar_type());
  return gradient;
}

at::Tensor gradient_penalty(const GradientPenaltyOptions& options, Discriminator& discriminator,
                            const JudgedImages& judged, const at::Tensor& noise,
                            const ForwardContext& context, const at::Tensor& scale,
                            const std::function<at::Tensor(const at::Tensor&)>& shown) {
  const at::Tensor x = points(options, judged, noise).detach();
  x.requires_grad_(true);
  const at::Tensor& labels = options.kind == "r2" ? judged.fake_labels : judged.real_labels;
  const at::Tensor logits = discriminator.forward(shown ? shown(x) : x, labels, context);
  const at::Tensor gradient = differentiable_gradient(logits.sum(), x, scale);
  if (options.kind == "r1" || options.kind == "r2")
    return options.weight / 2 * gradient.square().flatten(1).sum(1);
  // norm() has a gradient where it is zero, the square root of the squares has none.
  return options.weight * (gradient.flatten(1).norm(2, {1}) / options.target - 1).square();
}

}  // namespace ganymede
