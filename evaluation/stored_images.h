#pragma once

#include <memory>

#include "datasets/image_source.h"
#include "evaluation/image_set.h"

namespace ganymede {

/// The images of a folder, a zip or tar archive, or an .npz, in the source's sorted order. JPEG and PNG files
/// become RGB. All must have the size of the first.
class StoredImages final : public ImageSet {
 public:
  /// Throws Error(dataset) where there is no image, or the first cannot be read.
  explicit StoredImages(const std::filesystem::path& path);

  void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) override;

 private:
  Picture decode(std::int64_t index, std::span<const std::byte> stored) const;
  void check_size(std::int64_t index, const Picture& picture) const;

  std::unique_ptr<ImageSource> source_;
  Picture shape_;  ///< of every image; holds no values
  ValueRange range_;
};

}  // namespace ganymede
