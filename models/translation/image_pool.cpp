#include "models/translation/image_pool.h"

#include <ATen/ATen.h>

#include "models/layers/gather_rows.h"

namespace ganymede {

ImagePool::ImagePool(std::string name, std::int64_t size, at::IntArrayRef image,
                     const at::TensorOptions& options)
    : name_(std::move(name)), size_(size), filled_(at::zeros({size}, options)) {
  std::vector<std::int64_t> shape = image.vec();
  shape.insert(shape.begin(), size);
  images_ = at::zeros(shape, options);
}

NamedTensors ImagePool::state() const {
  if (!wanted()) return {};
  return {{name_ + "/images", images_}, {name_ + "/filled", filled_}};
}

void ImagePool::reset() {
  images_.zero_();
  filled_.zero_();
}

at::Tensor ImagePool::exchange(const at::Tensor& images, const GroupLayout& layout, std::int64_t position,
                               std::int64_t seen, const RandomKey& key, Communicator& communicator) {
  const at::NoGradGuard no_grad;
  if (!wanted()) return images.detach();
  const at::Tensor all = gather_rows(images.detach(), layout, communicator);
  RandomKey chance_key = key, place_key = key;
  const std::string chance = name_ + " chance", place_of = name_ + " place";
  chance_key.stream = chance;
  place_key.stream = place_of;
  const at::Tensor chances =
      RandomStream(chance_key).uniform(position, layout.total, 1, at::kDouble).squeeze(1);
  const at::Tensor places = RandomStream(place_key).integers(position, layout.total, size_);
  std::vector<at::Tensor> judged;
  for (std::int64_t i = 0; i < layout.total; ++i) {
    const std::int64_t count = seen + position + i;
    const bool fills = count < size_, exchanges = !fills && chances[i].item<double>() < 0.5;
    const at::Tensor image = all[i];
    const bool mine = layout.first <= i && i < layout.first + images.size(0);
    at::Tensor seen_by_d = image;
    if (fills || exchanges) {
      const std::int64_t place = fills ? count : places[i].item<std::int64_t>();
      // A place may be empty still, where the update was skipped that would have filled it.
      if (exchanges && mine) seen_by_d = at::where(filled_[place] > 0, images_[place], image);
      images_[place].copy_(image);
      filled_[place].fill_(1);
    }
    if (mine) judged.push_back(seen_by_d);
  }
  return at::stack(judged);
}

}  // namespace ganymede
