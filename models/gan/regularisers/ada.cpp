#include "models/gan/regularisers/ada.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/gan/regularisers/image_warp.h"

namespace ganymede {

void AdaOptions::describe(OptionSchema& schema) {
  schema.add("ada.blitting", blitting, "D sees images mirrored, turned by quarters, moved by whole pixels");
  schema.add("ada.geometry", geometry, "D sees images scaled, turned, stretched, moved");
  schema.add("ada.color", color, "D sees images of other brightness, contrast, hue and saturation");
  schema.add("ada.p", p, "", {0, 1}, "probability of each of these changes at the start");
  schema.add("ada.target", target, "", {0, 1},
             "mean sign of D's logits on real images that the probability is moved for, 0: it stays");
  schema.add("ada.every", every, "updates", {1, 1e6}, "D's updates between moves of the probability");
  schema.add("ada.kimg", kimg, "kimg", {1e-3, 1e9},
             "thousands of real images in which the probability goes from 0 to 1");
}

void AdaOptions::check(const ImageSpec& images) const {
  if (!wanted()) return;
  if ((blitting || geometry) && (images.height != images.width || images.height < 8))
    fail(ExitCode::options,
         "ada.blitting and ada.geometry warp square images of at least 8 x 8 pixels, and these are {} x {}: "
         "leave them out",
         images.height, images.width);
  if (color && images.channels != 3)
    fail(ExitCode::options, "ada.color changes images of 3 channels, and these have {}: leave it out",
         images.channels);
}

AdaDraws ada_draws(const ImageDraws& draws, const std::string& side) {
  return {draws.uniform("ada.uniform." + side, 21), draws.normal("ada.normal." + side, 7)};
}

at::Tensor ada_augment(const AdaOptions& options, const at::Tensor& p, const at::Tensor& images,
                       const AdaDraws& draws) {
  at::Tensor x = images;
  if (options.blitting || options.geometry) x = warped(x, ada_geometry(options, p, draws, images.size(2)));
  if (!options.color) return x;
  const at::Tensor colors = ada_colors(p, draws);
  const at::Tensor flat =
      at::matmul(colors.narrow(2, 0, 3), x.reshape({x.size(0), 3, -1})) + colors.narrow(2, 3, 1);
  return flat.view(images.sizes());
}

AdaProbability::AdaProbability(const AdaOptions& options, at::Device device)
    : options_(options), memory_(at::empty({3}, at::TensorOptions(at::kDouble).device(device))) {
  reset();
}

void AdaProbability::reset() {
  memory_.zero_();
  memory_[0].fill_(options_.p);
}

void AdaProbability::advance(std::int64_t update, const at::Tensor& signs, std::int64_t batch) {
  const at::Tensor p = memory_[0], sum = memory_[1], images = memory_[2];
  sum.add_(signs);
  images.add_(static_cast<double>(batch));
  if ((update + 1) % options_.every != 0) return;
  const at::Tensor away = (sum / images - options_.target).sign();
  p.add_(away * images / (1000 * options_.kimg)).clamp_(0, 1);
  sum.zero_();
  images.zero_();
}

}  // namespace ganymede
