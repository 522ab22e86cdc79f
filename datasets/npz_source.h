#pragma once

#include "datasets/archive_file.h"
#include "datasets/image_source.h"
#include "datasets/npy.h"

namespace ganymede {

/// The arrays of a file by numpy.savez or savez_compressed: `images` (or `arr_0`) of uint8, float16 or
/// float32; optional `labels`, N whole numbers from -1 on; optional `class_names`, strings, above all labels.
/// Others are left out. The images are streamed, never held together.
///
/// The shape is [N, H, W] for one channel, or [N, H, W, C], or [N, C, H, W]. Of the latter two it is the one
/// whose images are square: [N, 3, 32, 32] has C = 3 in front, [N, 32, 32, 200] has C = 200 at the end. Where
/// neither is, the smaller of second and last axis is the channels; where these are equal, Error(dataset).
class NpzSource : public ImageSource {
 public:
  explicit NpzSource(const std::filesystem::path& path);

  std::vector<std::byte> first() override;
  void read_some(const Wanted& wanted, const Take& take) override;
  Picture decode(std::int64_t index, std::span<const std::byte> stored, int channels) const override;
  std::optional<ValueRange> scan_range() override;
  std::string name_of_image(std::int64_t index) const override;

 private:
  void read_labels(ArchiveFile& archive);
  void read_class_names(ArchiveFile& archive);
  void choose_layout();
  void check_labels();
  std::string name_of(std::string_view array) const;

  std::filesystem::path path_;
  std::string images_ = {};  ///< the member's name, "images.npy" or "arr_0.npy"
  NpyHeader header_;
  Picture shape_;  ///< of every image; holds no values
  bool channels_first_ = false;
  bool has_labels_ = false;
};

}  // namespace ganymede
