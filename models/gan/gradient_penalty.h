#pragma once

#include "core/options.h"
#include "models/gan/image_draws.h"
#include "models/gan/judged_images.h"
#include "models/gan/network.h"

namespace ganymede {

struct GradientPenaltyOptions {
  double weight = 0;
  std::string kind = "wgan-gp";
  double target = 1;       ///< gamma of wgan-gp and dragan
  double noise = 0.5;      ///< standard deviation of dragan's noise, in the units of images
  std::int64_t every = 1;  ///< updates of D between evaluations
  bool apart = false;      ///< it has an update of D of its own, after the one in which it is due

  /// Adds "gan.gradient_penalty" and "gan.gradient_penalty_...".
  void describe(OptionSchema& schema);
  /// Lazy regularisation (Karras et al., arXiv 1912.04958, section 3.1): it is evaluated in updates 0, every,
  /// 2 every, ... and then weighs `every` times as much, so that its mean gradient stays.
  bool due(std::int64_t update) const { return weight > 0 && update % every == 0; }
  bool due_apart(std::int64_t update) const { return apart && due(update); }
};

/// What the kind draws for each image: wgan-gp eps [N, 1] uniform in [0, 1), dragan delta [N, C H W] normal
/// with deviation 1, others nothing (undefined).
at::Tensor penalty_noise(const GradientPenaltyOptions& options, const at::Tensor& real,
                         const ImageDraws& draws);

/// The gradient of `sum`, a scalar, with respect to x, itself differentiable. With `scale`, a scalar on the device, it
/// is computed `scale` times as large and then divided by it, in x's type: in float16 maps it would vanish otherwise.
at::Tensor differentiable_gradient(at::Tensor sum, const at::Tensor& x, const at::Tensor& scale);

/// A penalty on D's gradient with respect to its input, one number an image [N], weighted:
///
///   wgan-gp  weight ((|grad D(x_hat)| - target) / target)^2 with x_hat = eps x + (1 - eps) G(z)
///            (Gulrajani et al., arXiv 1704.00028, equation 3; its target is 1, that of Karras et al., arXiv
///            1710.10196, appendix D, 750)
///   dragan   the same with x_hat = x + noise delta (Kodali et al., arXiv 1705.07215)
///   r1       weight / 2 |grad D(x)|^2 (Mescheder et al., arXiv 1801.04406, equation 9)
///   r2       weight / 2 |grad D(G(z))|^2 (there, equation 10)
///
/// D is conditioned on the real images' labels, by r2 on the fakes'. `noise`: of penalty_noise().
///
/// `scale`: of differentiable_gradient(). The penalty is the same.
///
/// With `shown`, D sees shown(x) in the place of x, and the gradient is with respect to x.
at::Tensor gradient_penalty(const GradientPenaltyOptions& options, Discriminator& discriminator,
                            const JudgedImages& judged, const at::Tensor& noise,
                            const ForwardContext& context, const at::Tensor& scale = {},
                            const std::function<at::Tensor(const at::Tensor&)>& shown = {});

}  // namespace ganymede
