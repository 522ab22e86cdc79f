#pragma once

#include <filesystem>

#include "launch/draw.h"

namespace ganymede {

/// Where drawn images go.
class ImageSink {
 public:
  virtual ~ImageSink() = default;
  /// Images first .. first + N - 1: [N, C, H, W] in [-1, 1], labels [N]. Called in order.
  virtual void take(std::int64_t first, const at::Tensor& images, const at::Tensor& labels) = 0;
  virtual void finish() = 0;
};

/// By `path`: X.png one grid, X.h5 one dataset (uint8), anything else a folder with a PNG file an image, in a
/// folder a class. Throws Error(storage) where it cannot be written, or the folder holds something.
std::unique_ptr<ImageSink> make_image_sink(const std::filesystem::path& path, const Drawing& drawing,
                                           const ImageSpec& spec, const std::string& source);

/// Makes a folder for files of this draw alone. Throws Error(storage) where it holds something.
void create_empty_folder(const std::filesystem::path& folder);
/// Whether a name ends as another kind of file does, X.jpg say: who gives it does not mean a folder.
bool is_no_folder(const std::filesystem::path& path);

}  // namespace ganymede
