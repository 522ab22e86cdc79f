#include "datasets/image_source.h"

#include "core/error.h"
#include "datasets/archive_source.h"
#include "datasets/folder_source.h"
#include "datasets/hdf5_source.h"
#include "datasets/npz_source.h"

namespace ganymede {

std::unique_ptr<ImageSource> open_image_source(const std::filesystem::path& path, std::string_view subdir) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::status_known(status))
    fail(ExitCode::dataset, "cannot read {}: {}", path.string(), error.message());
  if (!std::filesystem::exists(status))
    fail(ExitCode::dataset, "{} does not exist: give a folder, a zip or tar archive, an .npz or an HDF5 file",
         path.string());
  if (std::filesystem::is_directory(status)) return std::make_unique<FolderSource>(path, subdir);
  const bool hdf5 = path.extension() == ".h5" || path.extension() == ".hdf5";
  if (!hdf5 && path.extension() != ".npz") return std::make_unique<ArchiveSource>(path, subdir);
  if (!subdir.empty()) fail(ExitCode::options, "{} has no folders: leave --subdir out", path.string());
  if (hdf5) return std::make_unique<Hdf5Source>(path);
  return std::make_unique<NpzSource>(path);
}

}  // namespace ganymede
