#include "models/gan/regularisers/path_length.h"

#include <cmath>

#include "models/gan/gradient_penalty.h"

namespace ganymede {

void PathLengthOptions::describe(OptionSchema& schema) {
  schema.add("gan.path_length", weight, "", {0, 1e6},
             "weight of path length regularisation, 2 in StyleGAN2's paper, 0 for none");
  schema.add("gan.path_length_decay", decay, "", {0, 1}, "how far the mean length follows each update");
  schema.add(
      "gan.path_length_every", every, "steps", {1, 1e6},
      "steps between G's updates for it, which weigh as many times as much; G's lr and betas are those of "
      "lazy regularisation");
  schema.add("gan.path_length_shrink", shrink, "", {1, 1e6},
             "how many times smaller its batch is than the others");
}

at::Tensor path_lengths(StyleGenerator& generator, const at::Tensor& ws, const at::Tensor& noise,
                        const ForwardContext& context, const at::Tensor& scale) {
  const at::Tensor images = generator.synthesise(ws, context);
  const double deviation = 1 / std::sqrt(static_cast<double>(images.size(2) * images.size(3)));
  const at::Tensor sum = (images * noise.view(images.sizes())).sum() * deviation;
  const at::Tensor gradient = differentiable_gradient(sum, ws, scale);
  return gradient.square().sum(2).mean(1).sqrt();
}

at::Tensor PathLength::penalty(const at::Tensor& lengths) const {
  return options_.weight * (lengths - mean_.to(lengths.scalar_type())).square();
}

}  // namespace ganymede
