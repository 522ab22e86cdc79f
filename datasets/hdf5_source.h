#pragma once

#include "datasets/image_dataset.h"
#include "datasets/image_source.h"

namespace ganymede {

/// The images of an HDF5 file that training could read too: a foreign one, to be freed of chunks and filters,
/// or one of ours, to be resized. Labels, class names and the range of values are kept.
class Hdf5Source : public ImageSource {
 public:
  explicit Hdf5Source(const std::filesystem::path& path);

  std::vector<std::byte> first() override { return load(0); }
  void read_some(const Wanted& wanted, const Take& take) override;
  Picture decode(std::int64_t index, std::span<const std::byte> stored, int channels) const override;
  std::optional<ValueRange> scan_range() override;
  std::string name_of_image(std::int64_t index) const override { return dataset_.where(index); }

 private:
  std::vector<std::byte> load(std::int64_t index) const;

  ImageDataset dataset_;
};

}  // namespace ganymede
