#include "datasets/folder_source.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_read(const fs::path& folder, const std::error_code& error) {
  fail(ExitCode::dataset, "cannot read folder {}: {}", folder.string(), error.message());
}

/// Walks a tree; `above` are the folders on the way down, by which a link to one of them is told.
class Walk {
 public:
  Walk(const fs::path& root, ImageListing& listing) : root_(root), listing_(listing) { visit(root, ""); }

 private:
  void visit(const fs::path& folder, const std::string& path) {
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error) fail_to_read(folder, error);
    if (std::find(above_.begin(), above_.end(), real) != above_.end())
      fail(ExitCode::dataset, "{} leads back to {}: remove this link", folder.string(), real.string());
    above_.push_back(real);
    fs::directory_iterator entries(folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error))
      note(*entries, path + entries->path().filename().string());
    if (error) fail_to_read(folder, error);
    above_.pop_back();
  }

  void note(const fs::directory_entry& entry, const std::string& path) {
    std::error_code error;
    const fs::file_status status = entry.status(error);
    if (fs::is_directory(status)) {
      if (entry.path().filename().string().starts_with('.'))
        listing_.skip("hidden");
      else
        visit(entry.path(), path + '/');
    } else if (fs::is_regular_file(status)) {
      listing_.add(path);
    } else {
      listing_.skip(fs::exists(status) ? "special" : "dangling link");
    }
  }

  fs::path root_;
  ImageListing& listing_;
  std::vector<fs::path> above_;
};

}  // namespace

FolderSource::FolderSource(const fs::path& folder, std::string_view subdir)
    : folder_(folder / fs::path(subdir).relative_path()) {
  std::error_code error;
  const fs::file_status status = fs::status(folder_, error);
  if (!fs::status_known(status)) fail_to_read(folder_, error);
  if (!fs::is_directory(status))
    fail(ExitCode::dataset, "{} is not a folder: see --subdir", folder_.string());
  ImageListing listing("");
  Walk(folder_, listing);
  contents_ = listing.finish(folder_.string()).first;
}

std::vector<std::byte> FolderSource::first() {
  return load(0);
}

void FolderSource::read_some(const Wanted& wanted, const Take& take) {
  for (std::int64_t index = 0; index < count(); ++index)
    if (wanted(index) && !take(index, load(index))) return;
}

std::string FolderSource::name_of_image(std::int64_t index) const {
  return (folder_ / contents_.names[static_cast<std::size_t>(index)]).string();
}

std::vector<std::byte> FolderSource::load(std::int64_t index) const {
  const fs::path path = folder_ / contents_.names[static_cast<std::size_t>(index)];
  const File file = with_code(ExitCode::dataset, [&] { return File::open_for_reading(path); });
  std::vector<std::byte> stored(static_cast<std::size_t>(file.size()));
  file.read_at(0, stored);
  return stored;
}

}  // namespace ganymede
