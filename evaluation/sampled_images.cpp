#include "evaluation/sampled_images.h"

#include <numeric>

#include "core/image_grid.h"
#include "models/latent_paths.h"
#include "models/likelihood.h"

namespace ganymede {

SampledImages::SampledImages(Sampler& sampler, std::int64_t count, std::array<std::int64_t, 3> shape,
                             Labels labels, bool has_classes, std::string name, nlohmann::json details,
                             std::string kind)
    : sampler_(sampler), labels_of_(std::move(labels)) {
  description_ = {.name = std::move(name),
                  .kind = std::move(kind),
                  .count = count,
                  .channels = shape[0],
                  .height = shape[1],
                  .width = shape[2],
                  .key = "",
                  .details = std::move(details)};
  if (has_classes) labels_ = labels_of_(0, count);
  check_channels(description_);
}

void SampledImages::in_units(
    const Share& share, std::int64_t batch,
    const std::function<void(std::int64_t first, std::int64_t drawn, std::int64_t wanted)>& draw) {
  const std::int64_t unit = granularity();
  TORCH_CHECK(share.first % unit == 0, "images are drawn in runs");
  const std::int64_t part = (std::min(batch, share.count) + unit - 1) / unit * unit;
  for (std::int64_t done = 0; done < share.count; done += part) {
    const std::int64_t wanted = std::min(part, share.count - done);
    draw(share.first + done, (wanted + unit - 1) / unit * unit, wanted);
  }
}

void SampledImages::read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) {
  // In runs of consecutive images.
  for (std::size_t begin = 0, end = 0; begin < indices.size(); begin = end) {
    while (end < indices.size() && indices[end] - indices[begin] == static_cast<std::int64_t>(end - begin))
      ++end;
    const std::int64_t start = indices[begin], place = static_cast<std::int64_t>(begin);
    in_units({start, static_cast<std::int64_t>(end - begin)}, batch,
             [&](std::int64_t first, std::int64_t drawn, std::int64_t wanted) {
               const at::Tensor images = sampler_.images(first, labels_of_(first, drawn));
               std::vector<std::int64_t> places(static_cast<std::size_t>(wanted));
               std::iota(places.begin(), places.end(), place + first - start);
               take(places, to_bytes(images.narrow(0, 0, wanted)).cpu().contiguous());
             });
  }
}

bool SampledImages::has_paths() const {
  return dynamic_cast<LatentPaths*>(&sampler_) != nullptr;
}

bool SampledImages::has_likelihood() const {
  const auto* likelihood = dynamic_cast<const Likelihood*>(&sampler_);
  return likelihood && likelihood->has_likelihood();
}

at::Tensor SampledImages::bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                             const at::Tensor& labels) {
  const at::Tensor values = images.to(at::kDouble) / 127.5 - 1;
  return dynamic_cast<Likelihood&>(sampler_).bits_per_dimension(first, values, labels);
}

void SampledImages::read_paths(const Share& share, std::int64_t batch, double step, const TakeEnds& take) {
  auto& paths = dynamic_cast<LatentPaths&>(sampler_);
  in_units(share, batch, [&](std::int64_t first, std::int64_t drawn, std::int64_t wanted) {
    const auto [from, to] = paths.path_ends(first, labels_of_(first, drawn), step);
    take(from.narrow(0, 0, wanted), to.narrow(0, 0, wanted));
  });
}

}  // namespace ganymede
