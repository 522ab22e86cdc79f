#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/image_listing.h"
#include "datasets/picture.h"
#include "datasets/value_range.h"

namespace ganymede {

/// Images to be packed, wherever they come from. Reading and decoding are apart, so that one thread reads the
/// source from front to back while others decode.
class ImageSource {
 public:
  /// Takes the stored bytes of image `index`; returns false to end the reading.
  using Take = std::function<bool(std::int64_t index, std::vector<std::byte> stored)>;
  using Wanted = std::function<bool(std::int64_t index)>;

  virtual ~ImageSource() = default;

  const SourceContents& contents() const { return contents_; }
  std::int64_t count() const { return static_cast<std::int64_t>(contents_.labels.size()); }

  /// The stored bytes of image 0.
  virtual std::vector<std::byte> first() = 0;
  /// Hands over every image once, in whatever order the source is read fastest. Throws Error(dataset) or
  /// Error(storage) if the source is damaged or has changed since it was opened.
  void read(const Take& take) {
    read_some([](std::int64_t) { return true; }, take);
  }
  /// The same of the images that are wanted alone; the others cost as little as the source allows.
  virtual void read_some(const Wanted& wanted, const Take& take) = 0;
  /// `channels` 1 or 3 converts, 0 keeps. Throws Error(dataset) naming the image. Any thread.
  virtual Picture decode(std::int64_t index, std::span<const std::byte> stored, int channels) const = 0;
  /// Smallest and largest value of floating point data, read from all of it; none for bytes. Throws
  /// Error(dataset) naming the first image with a value that is not finite.
  virtual std::optional<ValueRange> scan_range() { return std::nullopt; }
  /// How messages name an image.
  virtual std::string name_of_image(std::int64_t index) const = 0;

 protected:
  SourceContents contents_;
};

/// Opens a folder, an archive (zip or tar, also compressed) of images, an .npz, or an HDF5 file (.h5, .hdf5).
/// `subdir` restricts a folder or an archive to what lies under it. Throws Error(dataset) for anything else,
/// and where there is no image.
std::unique_ptr<ImageSource> open_image_source(const std::filesystem::path& path, std::string_view subdir);

}  // namespace ganymede
