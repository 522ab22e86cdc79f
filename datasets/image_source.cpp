#include "datasets/image_source.h"

#include "core/error.h"
#include "datasets/archive_source.h"
#include "datasets/folder_source.h"
#include "datasets/npz_source.h"

namespace ganymede {

std::unique_ptr<ImageSource> open_image_source(const std::filesystem::path& path, std::string_view subdir) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::status_known(status))
    fail(ExitCode::dataset, "cannot read {}: {}", path.string(), error.message());
  if (!std::filesystem::exists(status))
    fail(ExitCode::dataset, "{} does not exist: give a folder, a zip or tar archive, or an .npz file",
         path.string());
  if (std::filesystem::is_directory(status)) return std::make_unique<FolderSource>(path, subdir);
  if (path.extension() != ".npz") return std::make_unique<ArchiveSource>(path, subdir);
  if (!subdir.empty()) fail(ExitCode::options, "{} has no folders: leave --subdir out", path.string());
  return std::make_unique<NpzSource>(path);
}

}  // namespace ganymede
