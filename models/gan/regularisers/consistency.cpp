#include "models/gan/regularisers/consistency.h"

#include <ATen/ATen.h>

#include "models/gan/regularisers/diff_augment.h"

namespace ganymede {

void ConsistencyOptions::describe(OptionSchema& schema) {
  schema.add("gan.cr_real", cr_real, "", {0, 1e6},
             "weight of D's consistency on real images (CR), 0 for none");
  schema.add("gan.cr_fake", cr_fake, "", {0, 1e6},
             "weight of D's consistency on generated images (with gan.cr_real: bCR), 0 for none");
  schema.add("gan.zcr_d", zcr_d, "", {0, 1e6},
             "weight of D's consistency under changes of z (zCR), 0 for none");
  schema.add("gan.zcr_g", zcr_g, "", {0, 1e6},
             "weight of G's diversity under changes of z (zCR), 0 for none");
  schema.add("gan.zcr_noise", zcr_noise, "", {1e-6, 10}, "deviation of zCR's changes of z");
}

at::Tensor consistency_penalty(const ConsistencyOptions& options, Discriminator& discriminator,
                               const JudgedImages& judged, const at::Tensor& changed_fake,
                               const ImageDraws& draws, const ForwardContext& context) {
  at::Tensor sum;
  const auto add = [&](double weight, const at::Tensor& logits, const at::Tensor& changed,
                       const at::Tensor& labels) {
    const at::Tensor part = weight * (logits - discriminator.forward(changed, labels, context)).square();
    sum = sum.defined() ? sum + part : part;
  };
  if (options.cr_real > 0)
    add(options.cr_real, judged.real_logits, consistent_image(judged.real, draws, "real"),
        judged.real_labels);
  if (options.cr_fake > 0)
    add(options.cr_fake, judged.fake_logits, consistent_image(judged.fake, draws, "fake"),
        judged.fake_labels);
  if (options.zcr_d > 0) add(options.zcr_d, judged.fake_logits, changed_fake, judged.fake_labels);
  return sum;
}

at::Tensor consistent_image(const at::Tensor& images, const ImageDraws& draws, const std::string& side) {
  const std::string stream = "consistency." + side;
  const at::Tensor mirror = draws.integers(stream + ".flip", 2).to(at::kBool);
  const at::Tensor x = at::where(mirror.view({-1, 1, 1, 1}), images.flip({3}), images);
  return shifted(x, small_moves(x.size(2), draws, stream + ".down"),
                 small_moves(x.size(3), draws, stream + ".right"), Beyond::mirror);
}

at::Tensor consistent_latent(const ConsistencyOptions& options, const at::Tensor& z,
                             const ImageDraws& draws) {
  return z + options.zcr_noise * draws.normal("consistency.z", z.size(1));
}

}  // namespace ganymede
