#pragma once

#include "datasets/encoded_source.h"

namespace ganymede {

/// The images under a folder, at any depth; symbolic links are followed.
class FolderSource : public EncodedSource {
 public:
  FolderSource(const std::filesystem::path& folder, std::string_view subdir);

  std::vector<std::byte> first() override;
  void read_some(const Wanted& wanted, const Take& take) override;
  std::string name_of_image(std::int64_t index) const override;

 private:
  std::vector<std::byte> load(std::int64_t index) const;

  std::filesystem::path folder_;
};

}  // namespace ganymede
