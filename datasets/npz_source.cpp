#include "datasets/npz_source.h"

#include <cmath>
#include <limits>
#include <optional>

#include "core/error.h"
#include "datasets/schema.h"

namespace ganymede {
namespace {

/// Labels and class names larger than this are taken for a mistake.
constexpr std::size_t largest_table = std::size_t{1} << 30;
/// The most bytes that one image may take, whatever its header claims.
constexpr std::int64_t largest_image = std::int64_t{1} << 31;

/// How much smaller compression makes what is all alike.
constexpr std::int64_t most_shrinking = 1032;

NpyHeader header_of(ArchiveFile& archive, const std::string& name) {
  return read_npy_header([&](std::span<std::byte> bytes) { return archive.read(bytes); }, name);
}

/// Whether images [a, b, c] are [C, H, W]; otherwise they are [H, W, C]. Nothing where they may be either.
std::optional<bool> has_channels_first(std::int64_t a, std::int64_t b, std::int64_t c) {
  if (a == c) return b == 1 && a == 1 ? std::optional(true) : std::nullopt;
  if (a == b) return false;
  if (b == c) return true;
  return a < c;
}

std::vector<std::byte> values_of(ArchiveFile& archive, const NpyHeader& header, const std::string& name) {
  std::vector<std::byte> values = archive.read_all(largest_table);
  if (static_cast<std::int64_t>(values.size()) != header.bytes())
    fail(ExitCode::dataset, "{} holds {} bytes, {} expected of {}: save it again", name, values.size(),
         header.bytes(), header.description());
  return values;
}

}  // namespace

NpzSource::NpzSource(const std::filesystem::path& path) : path_(path) {
  ArchiveFile archive(path_);
  while (const auto member = archive.next()) {
    const std::string& name = member->name;
    if (name == "images.npy" || (name == "arr_0.npy" && images_.empty())) {
      images_ = name;
      header_ = header_of(archive, name_of(name));
      // Before anything is taken for N labels: what the header claims must be there.
      if (member->size && *member->size < header_.bytes())
        fail(ExitCode::dataset, "{} is {} but holds {} bytes only: save it again", name_of(name),
             header_.description(), *member->size);
      // Nor is what the archive claims believed without measure.
      const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path_));
      if (header_.bytes() / most_shrinking > size)
        fail(ExitCode::dataset, "{} is {}, more than a file of {} bytes can hold: save it again", name_of(name),
             header_.description(), size);
    } else if (name == "labels.npy") {
      read_labels(archive);
    } else if (name == "class_names.npy") {
      read_class_names(archive);
    } else {
      ++contents_.skipped[name];
    }
  }
  if (images_.empty())
    fail(ExitCode::dataset,
         "{} has no array named images (or arr_0): numpy.savez(file, images=..., labels=...)",
         path_.string());
  choose_layout();
  check_labels();
}

void NpzSource::read_labels(ArchiveFile& archive) {
  const std::string name = name_of("labels");
  const NpyHeader header = header_of(archive, name);
  if (header.shape.size() != 1)
    fail(ExitCode::dataset,
         "{} is {}, not one number an image: save labels of shape [N] (of one-hot rows: the argmax)", name,
         header.description());
  contents_.labels = npy_integers(header, values_of(archive, header, name), name);
  has_labels_ = true;
}

void NpzSource::read_class_names(ArchiveFile& archive) {
  const std::string name = name_of("class_names");
  const NpyHeader header = header_of(archive, name);
  if (header.shape.size() != 1)
    fail(ExitCode::dataset, "{} is {}: save a list of strings", name, header.description());
  if (header.count() > schema::most_classes)
    fail(ExitCode::dataset, "{} holds {} names, more than {}: save one a class", name, header.count(),
         schema::most_classes);
  contents_.class_names = npy_strings(header, values_of(archive, header, name), name);
}

void NpzSource::choose_layout() {
  const std::string name = name_of(images_);
  const std::optional<ElementType> type = element_type_named(header_.type());
  if (!type)
    fail(ExitCode::dataset, "{} is {}: save uint8, float16 or float32, e.g. array.astype('float32')", name,
         header_.description());
  shape_.type = *type;
  const auto& s = header_.shape;
  if (s.size() != 3 && s.size() != 4)
    fail(ExitCode::dataset, "{} is {}: save [N, H, W], [N, H, W, C] or [N, C, H, W]", name,
         header_.description());
  if (header_.count() == 0) fail(ExitCode::dataset, "{} holds no image: {}", name, header_.description());
  if (s.size() == 4) {
    const std::optional<bool> first = has_channels_first(s[1], s[2], s[3]);
    if (!first)
      fail(ExitCode::dataset,
           "{} is {}: either [N, H, W, C] or [N, C, H, W]; write it with h5py as images [N, C, H, W], which "
           "needs "
           "no packing",
           name, header_.description());
    channels_first_ = *first;
  }
  shape_.channels = s.size() == 3 ? 1 : channels_first_ ? s[1] : s[3];
  shape_.height = channels_first_ ? s[2] : s[1];
  shape_.width = channels_first_ ? s[3] : s[2];
  if (shape_.bytes() > largest_image)
    fail(ExitCode::dataset, "{} is {}: more than {} bytes an image", name, header_.description(),
         largest_image);
}

void NpzSource::check_labels() {
  const std::int64_t images = header_.shape[0];
  if (!has_labels_) contents_.labels.assign(static_cast<std::size_t>(images), -1);
  if (count() != images)
    fail(ExitCode::dataset, "{} holds {} labels for {} images: save one each", path_.string(), count(),
         images);
  const auto names = static_cast<std::int64_t>(contents_.class_names.size());
  const std::int64_t classes = names > 0 ? names : schema::most_classes;
  for (std::int64_t i = 0; i < images; ++i) {
    const std::int64_t label = contents_.labels[static_cast<std::size_t>(i)];
    if (label < -1 || label >= classes)
      fail(ExitCode::dataset, "{}: label {} of image {} is out of range: -1 to {}", path_.string(), label, i,
           classes - 1);
  }
}

std::vector<std::byte> NpzSource::first() {
  std::vector<std::byte> bytes;
  read([&](std::int64_t, std::vector<std::byte> stored) {
    bytes = std::move(stored);
    return false;
  });
  return bytes;
}

void NpzSource::read_some(const Wanted& wanted, const Take& take) {
  ArchiveFile archive(path_);
  while (const auto member = archive.next()) {
    if (member->name != images_) continue;
    const NpyHeader header = header_of(archive, name_of(images_));
    if (header.shape != header_.shape || header.kind != header_.kind ||
        header.item_bytes != header_.item_bytes)
      break;
    for (std::int64_t index = 0; index < count(); ++index) {
      std::vector<std::byte> stored(static_cast<std::size_t>(shape_.bytes()));
      if (archive.read(stored) != stored.size())
        fail(ExitCode::dataset, "{} ends within image {} of {}: save it again", name_of(images_), index,
             count());
      if (wanted(index) && !take(index, std::move(stored))) return;
    }
    if (std::byte more; archive.read({&more, 1}) != 0)
      fail(ExitCode::dataset, "{} goes on after its {} images: save it again", name_of(images_), count());
    return;
  }
  fail(ExitCode::dataset, "{} changed while it was read: pack it again", path_.string());
}

Picture NpzSource::decode(std::int64_t, std::span<const std::byte> stored, int channels) const {
  Picture picture = shape_;
  if (channels_first_)
    from_planes(stored, picture);
  else
    picture.values.assign(stored.begin(), stored.end());
  return with_channels(std::move(picture), channels);
}

std::optional<ValueRange> NpzSource::scan_range() {
  if (shape_.type == ElementType::uint8) return std::nullopt;
  ValueRange all{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  read([&](std::int64_t index, const std::vector<std::byte>& stored) {
    const ValueRange range = range_of(shape_.type, stored);
    if (std::isnan(range.low))
      fail(ExitCode::dataset, "{} holds a value that is not finite: mend or remove it", name_of_image(index));
    all = {std::min(all.low, range.low), std::max(all.high, range.high)};
    return true;
  });
  return all;
}

std::string NpzSource::name_of_image(std::int64_t index) const {
  return fmt::format("image {} of {}", index, path_.string());
}

std::string NpzSource::name_of(std::string_view array) const {
  return fmt::format("{}:{}", path_.string(), array);
}

}  // namespace ganymede
