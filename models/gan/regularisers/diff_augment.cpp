#include "models/gan/regularisers/diff_augment.h"

#include <ATen/ATen.h>

namespace ganymede {

void DiffAugmentOptions::describe(OptionSchema& schema) {
  schema.add("gan.diff_augment_color", color, "D sees images of random brightness, saturation and contrast");
  schema.add("gan.diff_augment_translation", translation,
             "D sees images moved by up to an eighth of their side");
  schema.add("gan.diff_augment_cutout", cutout, "D sees images with a random square set to zero");
}

namespace {

at::Tensor an_image(const at::Tensor& figures) {
  return figures.view({-1, 1, 1, 1});
}

at::Tensor recoloured(const at::Tensor& images, const at::Tensor& u) {
  at::Tensor x = images + an_image(u.select(1, 0) - 0.5);
  const at::Tensor grey = x.mean({1}, /*keepdim=*/true);
  x = grey + (x - grey) * an_image(u.select(1, 1) * 2);
  const at::Tensor mean = x.mean({1, 2, 3}, /*keepdim=*/true);
  return mean + (x - mean) * an_image(u.select(1, 2) + 0.5);
}

at::Tensor positions(const at::Tensor& images, std::int64_t dimension) {
  return at::arange(images.size(dimension), images.options().dtype(at::kLong)).unsqueeze(0);
}

/// Where `dimension` lies within a square of half the side about a random centre: bool [N, size].
at::Tensor cut(const at::Tensor& images, std::int64_t dimension, const ImageDraws& draws,
               const std::string& stream) {
  const std::int64_t side = images.size(dimension), size = (side + 1) / 2;
  const std::int64_t centres = side + (size % 2 == 0 ? 1 : 0);
  const at::Tensor begin = draws.integers(stream, centres).unsqueeze(1) - size / 2;
  const at::Tensor at = positions(images, dimension);
  return at.ge(begin).logical_and(at.lt(begin + size));
}

at::Tensor with_hole(const at::Tensor& images, const ImageDraws& draws, const std::string& stream) {
  const at::Tensor rows = cut(images, 2, draws, stream + ".down"),
                   columns = cut(images, 3, draws, stream + ".right");
  const at::Tensor hole = rows.unsqueeze(2).logical_and(columns.unsqueeze(1)).unsqueeze(1);
  return images.masked_fill(hole, 0);
}

at::Tensor shifted_along(const at::Tensor& images, std::int64_t dimension, const at::Tensor& by,
                         Beyond beyond) {
  const std::int64_t last = images.size(dimension) - 1;
  at::Tensor from = positions(images, dimension) - by.unsqueeze(1);
  const at::Tensor inside = from.ge(0).logical_and(from.le(last));
  if (beyond == Beyond::mirror) from = last - (last - from.abs()).abs();
  std::vector<std::int64_t> shape{images.size(0), 1, 1, 1};
  shape[static_cast<std::size_t>(dimension)] = last + 1;
  const at::Tensor moved = images.gather(dimension, from.clamp(0, last).view(shape).expand_as(images));
  return beyond == Beyond::mirror ? moved : moved * inside.view(shape);
}

}  // namespace

at::Tensor small_moves(std::int64_t side, const ImageDraws& draws, const std::string& stream) {
  const std::int64_t most = (side + 4) / 8;
  return draws.integers(stream, 2 * most + 1) - most;
}

at::Tensor shifted(const at::Tensor& images, const at::Tensor& down, const at::Tensor& right, Beyond beyond) {
  return shifted_along(shifted_along(images, 2, down, beyond), 3, right, beyond);
}

at::Tensor diff_augment(const DiffAugmentOptions& options, const at::Tensor& images, const ImageDraws& draws,
                        const std::string& side) {
  at::Tensor x = images;
  if (options.color) x = recoloured(x, draws.uniform("augment.color." + side, 3));
  if (options.translation) {
    const std::string stream = "augment.translation." + side;
    x = shifted(x, small_moves(x.size(2), draws, stream + ".down"),
                small_moves(x.size(3), draws, stream + ".right"), Beyond::zero);
  }
  if (options.cutout) x = with_hole(x, draws, "augment.cutout." + side);
  return x;
}

}  // namespace ganymede
