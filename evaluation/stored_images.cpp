#include "evaluation/stored_images.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/hash.h"
#include "evaluation/pixel_bytes.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

std::string kind_of(const fs::path& path) {
  if (fs::is_directory(path)) return "folder";
  return path.extension() == ".npz" ? "npz" : "archive";
}

/// Where the images are read from, and each file's size, inode and times: pixels that changed unseen by these are not
/// expected.
std::string key_of(const fs::path& path, const ImageSource& source) {
  Xxh3 hash;
  const auto add = [&](const std::string& name, const fs::path& file) {
    struct stat now {};
    if (::stat(file.c_str(), &now) != 0)
      fail(ExitCode::dataset, "{} cannot be read: {}", file.string(), std::strerror(errno));
    const std::string line =
        fmt::format("{}\n{} {} {}.{} {}.{}\n", name, now.st_size, now.st_ino, now.st_mtim.tv_sec,
                    now.st_mtim.tv_nsec, now.st_ctim.tv_sec, now.st_ctim.tv_nsec);
    hash.update(std::as_bytes(std::span(line)));
  };
  if (fs::is_directory(path))
    for (const std::string& name : source.contents().names)
      add(fs::absolute(path / name).lexically_normal().string(), path / name);
  else
    add(fs::absolute(path).lexically_normal().string(), path);
  return fmt::format("{} {}", kind_of(path), hex(hash.digest()));
}

}  // namespace

StoredImages::StoredImages(const fs::path& path) : source_(open_image_source(path, "")) {
  shape_ = decode(0, source_->first());
  shape_.values.clear();
  if (const auto range = source_->scan_range()) range_ = *range;
  const fs::path whole = fs::absolute(path).lexically_normal();
  description_ = {.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string(),
                  .kind = kind_of(path),
                  .count = source_->count(),
                  .channels = shape_.channels,
                  .height = shape_.height,
                  .width = shape_.width,
                  .key = key_of(path, *source_)};
  if (shape_.type != ElementType::uint8) description_.details["range"] = {range_.low, range_.high};
  labels_ = labels_tensor(source_->contents().labels);
  check_channels(description_);
}

Picture StoredImages::decode(std::int64_t index, std::span<const std::byte> stored) const {
  // Images that have names are files with one or three channels each; arrays keep what they have.
  return source_->decode(index, stored, source_->contents().names.empty() ? 0 : 3);
}

void StoredImages::check_size(std::int64_t index, const Picture& picture) const {
  if (picture.width != shape_.width || picture.height != shape_.height)
    fail(ExitCode::dataset,
         "{} has {} x {} pixels, {} has {} x {}: make them alike, with ganymede dataset pack --size for one",
         source_->name_of_image(index), picture.width, picture.height, source_->name_of_image(0),
         shape_.width, shape_.height);
}

void StoredImages::read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) {
  const PixelBytes bytes(shape_, range_);
  std::vector<std::byte> planes(static_cast<std::size_t>(shape_.bytes()));
  std::vector<std::int64_t> places;
  at::Tensor images = bytes.empty(batch);
  const auto hand_over = [&] {
    if (!places.empty()) take(places, images.narrow(0, 0, std::ssize(places)));
    places.clear();
    images = bytes.empty(batch);
  };
  const auto place_of = [&](std::int64_t index) { return std::ranges::lower_bound(indices, index); };
  const auto wanted = [&](std::int64_t index) {
    const auto place = place_of(index);
    return place != indices.end() && *place == index;
  };
  std::int64_t left = std::ssize(indices);
  if (left == 0) return;
  source_->read_some(wanted, [&](std::int64_t index, std::vector<std::byte> stored) {
    const Picture picture = decode(index, stored);
    check_size(index, picture);
    to_planes(picture, planes);
    bytes.convert(planes, source_->name_of_image(index), images[std::ssize(places)]);
    places.push_back(place_of(index) - indices.begin());
    if (std::ssize(places) == batch) hand_over();
    return --left > 0;
  });
  hand_over();
}

}  // namespace ganymede
