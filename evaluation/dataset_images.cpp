#include "evaluation/dataset_images.h"

#include <fmt/format.h>

#include <filesystem>
#include <numeric>

#include "evaluation/pixel_bytes.h"

namespace ganymede {

DatasetImages::DatasetImages(std::shared_ptr<const ImageDataset> dataset) : dataset_(std::move(dataset)) {
  const auto& files = dataset_->files();
  description_ = {.name = std::filesystem::path(files.front().layout().path).filename().string(),
                  .kind = "dataset",
                  .count = dataset_->size(),
                  .channels = dataset_->channels(),
                  .height = dataset_->height(),
                  .width = dataset_->width(),
                  .key = "dataset " + dataset_->digest()};
  // Without digests the dataset's own covers a part of the pixels only.
  if (!dataset_->has_digests())
    for (const DatasetFile& file : files) description_.key += fmt::format(" {}", file.layout().modified);
  if (files.size() > 1) description_.details["files"] = files.size();
  labels_ = labels_tensor(dataset_->labels());
  check_channels(description_);
}

void DatasetImages::read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) {
  const PixelBytes bytes({dataset_->type(), dataset_->width(), dataset_->height(), dataset_->channels()},
                         {dataset_->low(), dataset_->high()});
  std::vector<std::byte> stored(static_cast<std::size_t>(dataset_->image_bytes()));
  const auto count = std::ssize(indices);
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t part = std::min(batch, count - first);
    const at::Tensor images = bytes.empty(part);
    for (std::int64_t k = 0; k < part; ++k) {
      const std::int64_t index = indices[static_cast<std::size_t>(first + k)];
      dataset_->verify_block_of(index);
      dataset_->read(index, stored);
      bytes.convert(stored, dataset_->where(index), images[k]);
    }
    std::vector<std::int64_t> places(static_cast<std::size_t>(part));
    std::iota(places.begin(), places.end(), first);
    take(places, images);
  }
}

}  // namespace ganymede
