#include "models/gan/regularisers/ada.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/gan/regularisers/ada_choices.h"
#include "models/layers/image_warp.h"

namespace ganymede {

void AdaOptions::describe(OptionSchema& schema) {
  schema.add("ada.blitting", blitting, "D sees images mirrored, turned by quarters, moved by whole pixels");
  schema.add("ada.geometry", geometry, "D sees images scaled, turned, stretched, moved");
  schema.add("ada.color", color, "D sees images of other brightness, contrast, hue and saturation");
  schema.add("ada.filter", filter, "D sees images with bands of frequencies amplified or weakened");
  schema.add("ada.noise", noise, "D sees images with noise added");
  schema.add("ada.cutout", cutout, "D sees images with a rectangle of half their sides set to zero");
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
  if ((filter || cutout) && std::min(images.height, images.width) < 8)
    fail(ExitCode::options,
         "ada.filter and ada.cutout change images of at least 8 x 8 pixels, and these are {} x {}: leave "
         "them out",
         images.height, images.width);
}

AdaDraws ada_draws(const AdaOptions& options, const ImageDraws& draws, const std::string& side,
                   at::IntArrayRef shape) {
  AdaDraws all{draws.uniform("ada.uniform." + side, 29), draws.normal("ada.normal." + side, 12), {}};
  if (options.noise)
    all.noise = draws.normal("ada.noise." + side, c10::multiply_integers(shape))
                    .view({draws.count, shape[0], shape[1], shape[2]});
  return all;
}

at::Tensor ada_deviations(const at::Tensor& p, const AdaDraws& draws) {
  const AdaChoices choose(draws, p);
  return choose.gated(25, choose.n(11).abs() * 0.1);
}

at::Tensor ada_holes(const at::Tensor& p, const AdaDraws& draws, std::int64_t height, std::int64_t width) {
  const AdaChoices choose(draws, p);
  const auto within = [&](std::int64_t pixels, std::int64_t column) {
    const at::Tensor places =
        (at::arange(pixels, draws.uniform.options()) + 0.5) / static_cast<double>(pixels);
    return (places - choose.u(column).unsqueeze(1)).abs() < 0.25;
  };
  const at::Tensor applied = choose.gated(26, at::ones_like(choose.u(26))).gt(0);
  return applied.view({-1, 1, 1, 1})
      .logical_and(within(height, 28).view({-1, 1, height, 1}))
      .logical_and(within(width, 27).view({-1, 1, 1, width}));
}

at::Tensor ada_augment(const AdaOptions& options, const at::Tensor& p, const at::Tensor& images,
                       const AdaDraws& draws) {
  at::Tensor x = images;
  if (options.blitting || options.geometry) x = warped(x, ada_geometry(options, p, draws, images.size(2)));
  if (options.color) {
    const at::Tensor colors = ada_colors(p, draws);
    const at::Tensor flat =
        at::matmul(colors.narrow(2, 0, 3), x.reshape({x.size(0), 3, -1})) + colors.narrow(2, 3, 1);
    x = flat.view(images.sizes());
  }
  if (options.filter) {
    const at::Tensor gains = ada_gains(p, draws);
    const at::Tensor rows = ada_bands(gains, x.size(2)).unsqueeze(1);
    const at::Tensor columns = x.size(2) == x.size(3) ? rows : ada_bands(gains, x.size(3)).unsqueeze(1);
    x = at::matmul(at::matmul(rows, x), columns.mT());
  }
  if (options.noise) x = x + ada_deviations(p, draws).view({-1, 1, 1, 1}) * draws.noise;
  if (options.cutout) x = x.masked_fill(ada_holes(p, draws, x.size(2), x.size(3)), 0);
  return x;
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
