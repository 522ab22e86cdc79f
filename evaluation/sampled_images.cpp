#include "evaluation/sampled_images.h"

#include <numeric>

#include "core/image_grid.h"

namespace ganymede {

SampledImages::SampledImages(Sampler& sampler, std::int64_t count, std::array<std::int64_t, 3> shape,
                             Labels labels, bool has_classes, std::string name, nlohmann::json details)
    : sampler_(sampler), labels_of_(std::move(labels)) {
  description_ = {.name = std::move(name),
                  .kind = "samples",
                  .count = count,
                  .channels = shape[0],
                  .height = shape[1],
                  .width = shape[2],
                  .key = "",
                  .details = std::move(details)};
  if (has_classes) labels_ = labels_of_(0, count);
  check_channels(description_);
}

void SampledImages::read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) {
  if (indices.empty()) return;
  const std::int64_t begin = indices.front(), count = std::ssize(indices), unit = granularity();
  TORCH_CHECK(begin % unit == 0 && indices.back() == begin + count - 1, "images are drawn in runs");
  const std::int64_t part = (std::min(batch, count) + unit - 1) / unit * unit;
  for (std::int64_t first = 0; first < count; first += part) {
    const std::int64_t wanted = std::min(part, count - first);
    const std::int64_t drawn = (wanted + unit - 1) / unit * unit;
    const at::Tensor images = sampler_.images(begin + first, labels_of_(begin + first, drawn));
    std::vector<std::int64_t> places(static_cast<std::size_t>(wanted));
    std::iota(places.begin(), places.end(), first);
    take(places, to_bytes(images.narrow(0, 0, wanted)).cpu().contiguous());
  }
}

}  // namespace ganymede
