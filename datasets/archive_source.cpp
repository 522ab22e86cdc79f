#include "datasets/archive_source.h"

#include <tuple>

#include "core/error.h"

namespace ganymede {
namespace {

/// An encoded image larger than this is taken for a mistake.
constexpr std::size_t largest_file = std::size_t{1} << 30;

}  // namespace

ArchiveSource::ArchiveSource(const std::filesystem::path& path, std::string_view subdir)
    : path_(path), subdir_(subdir) {
  ArchiveFile archive(path_);
  ImageListing listing(subdir_);
  std::vector<bool> is_image;
  while (const auto member = archive.next()) {
    const auto kind =
        member->kind == ArchiveFile::Kind::other ? ImageListing::Kind::skipped : listing.add(member->name);
    is_image.push_back(kind != ImageListing::Kind::skipped);
    if (!is_image.back()) continue;
    if (member->kind == ArchiveFile::Kind::hard_link)
      fail(ExitCode::dataset,
           "{}: {} is stored as a link to another member: pack it with tar --hard-dereference",
           path_.string(), member->name);
    // The first image in sorted order may be anywhere: each that may still be it is read; the last is it.
    if (kind == ImageListing::Kind::first_image) first_ = archive.read_all(largest_file);
  }
  std::vector<std::int64_t> indices;
  std::tie(contents_, indices) = listing.finish(path_.string());
  auto index = indices.begin();
  for (const bool image : is_image) index_of_member_.push_back(image ? *index++ : -1);
}

void ArchiveSource::read_some(const Wanted& wanted, const Take& take) {
  const auto changed = [&] {
    fail(ExitCode::dataset, "{} changed while it was read: pack it again", path_.string());
  };
  ArchiveFile archive(path_);
  std::size_t members = 0;
  for (; const auto member = archive.next(); ++members) {
    if (members == index_of_member_.size()) changed();
    const std::int64_t index = index_of_member_[members];
    if (index < 0) continue;
    if (!member->name.ends_with(contents_.names[static_cast<std::size_t>(index)])) changed();
    if (wanted(index) && !take(index, archive.read_all(largest_file))) return;
  }
  if (members != index_of_member_.size()) changed();
}

std::string ArchiveSource::name_of_image(std::int64_t index) const {
  const std::string folder = subdir_.empty() || subdir_.ends_with('/') ? subdir_ : subdir_ + '/';
  return path_.string() + ':' + folder + contents_.names[static_cast<std::size_t>(index)];
}

}  // namespace ganymede
