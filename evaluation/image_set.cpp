#include "evaluation/image_set.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"

namespace ganymede {

void ImageSet::read_paths(const Share&, std::int64_t, double, const TakeEnds&) {
  TORCH_CHECK(false, description_.name, " has no latents");
}

at::Tensor ImageSet::bits_per_dimension(std::int64_t, const at::Tensor&, const at::Tensor&) {
  TORCH_CHECK(false, description_.name, " gives no likelihood");
}

at::Tensor labels_tensor(std::span<const std::int64_t> labels) {
  if (std::ranges::all_of(labels, [](std::int64_t label) { return label < 0; })) return {};
  at::Tensor tensor = at::empty({std::ssize(labels)}, at::kLong);
  std::ranges::copy(labels, tensor.data_ptr<std::int64_t>());
  return tensor;
}

at::Tensor selected_labels(const ImageSet& set, const std::vector<std::int64_t>& indices) {
  if (!set.labels().defined()) return {};
  return set.labels().index_select(0, at::tensor(indices, at::kLong));
}

void check_channels(const ImageSetDescription& description) {
  if (description.channels != 1 && description.channels != 3)
    fail(ExitCode::dataset, "{} has {} channels: scores are computed of images with 1 or 3", description.name,
         description.channels);
}

}  // namespace ganymede
