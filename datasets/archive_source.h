#pragma once

#include "datasets/archive_file.h"
#include "datasets/encoded_source.h"

namespace ganymede {

/// The images of a zip or tar archive. It is read twice from front to back: for the names, then for the
/// images. In between nothing but names and the first image is kept.
class ArchiveSource : public EncodedSource {
 public:
  ArchiveSource(const std::filesystem::path& path, std::string_view subdir);

  std::vector<std::byte> first() override { return first_; }
  void read_some(const Wanted& wanted, const Take& take) override;
  std::string name_of_image(std::int64_t index) const override;

 private:
  std::filesystem::path path_;
  std::string subdir_;
  std::vector<std::int64_t> index_of_member_;  ///< in the archive's order; -1 for what is no image
  std::vector<std::byte> first_;
};

}  // namespace ganymede
