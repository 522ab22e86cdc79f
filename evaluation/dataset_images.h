#pragma once

#include <memory>

#include "datasets/image_dataset.h"
#include "evaluation/image_set.h"

namespace ganymede {

/// The images of a dataset. Floating point values become bytes as drawn images do: [low, high] is [-1, 1],
/// then x * 127.5 + 128, clamped, truncated.
class DatasetImages final : public ImageSet {
 public:
  /// Throws Error(dataset) for channels that scores cannot be computed of.
  explicit DatasetImages(std::shared_ptr<const ImageDataset> dataset);

  void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) override;

 private:
  std::shared_ptr<const ImageDataset> dataset_;
};

}  // namespace ganymede
