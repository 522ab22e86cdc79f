#pragma once

#include <atomic>
#include <map>
#include <string>

#include "datasets/image_source.h"
#include "datasets/pack.h"

namespace ganymede {

/// Turns the images of a source into planes of one shape, as PackOptions say.
class ImageConversion {
 public:
  /// Decodes the first image, whose shape is that of all. Both must outlive it. Throws as pack() does.
  ImageConversion(const PackOptions& options, ImageSource& source);

  DatasetDescription description() const;
  std::size_t image_bytes() const { return static_cast<std::size_t>(shape_.bytes()); }
  std::int64_t enlarged() const { return enlarged_; }

  /// The image as planes. Any thread.
  void convert(std::int64_t index, std::span<const std::byte> stored, std::span<std::byte> planes);

 private:
  Picture fit(Picture picture);
  void choose_range();
  void check_range(std::int64_t index, const Picture& picture) const;
  std::map<std::string, std::string> provenance() const;

  const PackOptions& options_;
  ImageSource& source_;
  Crop crop_ = Crop::none;
  Picture shape_;  ///< of every image; holds no values
  ValueRange range_;
  std::atomic<std::int64_t> enlarged_ = 0;
};

}  // namespace ganymede
