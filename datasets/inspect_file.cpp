#include "datasets/inspect_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/hash.h"
#include "datasets/hdf5_file.h"
#include "datasets/inspect_chunks.h"
#include "datasets/schema.h"
#include "datasets/vocabulary.h"

namespace ganymede {
namespace {

/// A named run of bytes that a layout relies on.
struct Part {
  std::string name;
  std::int64_t offset, bytes;
};

class Inspector {
 public:
  Inspector(const std::filesystem::path& path, std::int64_t side)
      : path_(path),
        side_(side),
        file_(with_code(ExitCode::dataset, [&] { return File::open_for_reading(path); })),
        size_(file_.size()) {}

  DatasetLayout inspect();

 private:
  template <class... Arguments>
  [[noreturn]] void refuse(const std::string& object, fmt::format_string<Arguments...> format,
                           Arguments&&... arguments) const {
    fail(ExitCode::dataset, "{}: {} {}", path_.string(), object,
         fmt::format(format, std::forward<Arguments>(arguments)...));
  }
  void check_signature() const;
  void check_format();
  void check_storage(const std::string& name, const Hdf5Array& array) const;
  BlockedExtent plain_extent(const std::string& name, const Hdf5Array& array);
  BlockedExtent chunked_extent(const std::string& name, const Hdf5Array& array, ChunkTable& table);
  std::string name_of_images(std::int64_t side) const;
  void check_copies() const;
  void inspect_images();
  void check_image_shape(const std::string& name, const std::vector<std::int64_t>& shape) const;
  void inspect_range();
  void inspect_labels();
  void inspect_class_names();
  std::vector<std::string> inspect_texts(const std::string& name);
  std::int64_t inspect_digests(const std::string& object, BlockedExtent& extent, std::int64_t element_bytes,
                               std::int64_t row_bytes);
  void inspect_sources();
  void inspect_embeddings();
  void inspect_tokens();
  FileLayout inspect_companion(const std::string& name, const Hdf5Array& array, const DatasetLayout& layout);
  void check_overlaps();
  void compare_samples(const FileLayout& place, const std::vector<std::int64_t>& shape,
                       ElementType type) const;

  std::filesystem::path path_;
  std::int64_t side_;  ///< 0: of the images themselves
  File file_;
  std::int64_t size_;
  std::optional<Hdf5File> hdf5_;
  bool own_format_ = false;
  std::string images_name_;
  std::vector<std::int64_t> shape_;  ///< of the images
  std::vector<Part> parts_;
  DatasetLayout layout_;
  FileLayout found_;
};

std::string text_of(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void Inspector::check_signature() const {
  constexpr char signature[] = "\x89HDF\r\n\x1a\n";
  for (std::int64_t at = 0; at + 8 <= size_; at = at == 0 ? 512 : 2 * at) {
    char bytes[8];
    file_.read_at(at, std::as_writable_bytes(std::span(bytes)));
    if (std::equal(bytes, bytes + 8, signature)) return;
  }
  fail(ExitCode::dataset,
       "{}: not an HDF5 file: its {} bytes hold no HDF5 signature; make one with `ganymede dataset pack`",
       path_.string(), size_);
}

void Inspector::check_format() {
  const auto format = hdf5_->text("/", "format");
  own_format_ = format.has_value();
  if (!own_format_) return;
  if (*format != schema::format)
    refuse("attribute format", "is '{}'; expected '{}'", *format, schema::format);
  const std::int64_t version = hdf5_->integer("/", "format_version").value_or(0);
  if (version != schema::version)
    refuse("attribute format_version",
           "is {}; expected {}: read the file with the version of the program that wrote it, or pack it anew",
           version, schema::version);
}

void Inspector::check_storage(const std::string& name, const Hdf5Array& array) const {
  using Storage = Hdf5Array::Storage;
  switch (array.storage) {
    case Storage::contiguous:
      return;
    case Storage::virtual_dataset:
      refuse(name, "is a virtual dataset; expected the data in this file: {}, or give the files themselves",
             repack);
    case Storage::external:
      refuse(name, "is stored in external files; expected the data in this file: {}", repack);
    case Storage::compact:
      refuse(name, "is stored compactly; expected contiguous storage: {}", repack);
    case Storage::chunked:
      refuse(name, "is stored in chunks; expected contiguous storage in a file of this format: {}", repack);
  }
}

/// Where the array lies, after it is seen to be stored plainly and to lie within the file.
BlockedExtent Inspector::plain_extent(const std::string& name, const Hdf5Array& array) {
  check_storage(name, array);
  std::vector<std::int64_t> factors = array.shape;
  factors.push_back(array.element_bytes);
  const std::int64_t bytes = checked_product(factors);
  if (bytes < 0) refuse(name, "declares the shape {}, more bytes than a file can hold", text_of(array.shape));
  if (bytes == 0) return {};
  if (!array.offset)
    refuse(name, "was declared with shape {} but never written; expected {} bytes of data",
           text_of(array.shape), bytes);
  if (*array.offset < 0 || *array.offset > size_ || bytes > size_ - *array.offset)
    refuse(
        name,
        "should take {} bytes from offset {}, but the file has only {} bytes: it was cut short; copy it anew",
        bytes, *array.offset, size_);
  parts_.push_back({name, *array.offset, bytes});
  return {*array.offset, bytes, bytes};
}

/// Of a foreign file.
BlockedExtent Inspector::chunked_extent(const std::string& name, const Hdf5Array& array, ChunkTable& table) {
  table = inspect_chunks(file_, *hdf5_, name, array);
  for (std::size_t k = 0; k < table.offsets.size(); ++k)
    parts_.push_back({name, table.offsets[k], table.bytes[k]});
  return {-1, table.shape[0] * table.item_bytes(), table.chunk[0] * table.item_bytes()};
}

void Inspector::check_image_shape(const std::string& name, const std::vector<std::int64_t>& shape) const {
  if (shape.size() != 4) refuse(name, "has shape {}; expected [N, C, H, W]", text_of(shape));
  if (shape[0] == 0) refuse(name, "has shape {}: no images; expected at least one", text_of(shape));
  if (*std::min_element(shape.begin(), shape.end()) < 1)
    refuse(name, "has shape {}; expected at least 1 along each axis", text_of(shape));
}

/// `side`: 0 for the images themselves.
std::string Inspector::name_of_images(std::int64_t side) const {
  std::vector<std::string> names{"/images", "/imgs"};
  for (std::int64_t each = 4096; each >= 4; each /= 2) names.push_back(schema::level_name(each));
  if (side > 0) names = {schema::level_name(side)};
  for (const std::string& name : names)
    if (hdf5_->contains(name)) return name;
  if (side > 0) refuse(names.front(), "is missing; expected the images at {0} x {0} pixels", side);
  refuse("the file",
         "has neither /images nor /imgs nor /data1024x1024 or the like; expected uint8, float16 or float32 "
         "images [N, C, H, W]");
}

/// Foreign files may call anything by a copy's name.
void Inspector::check_copies() const {
  const std::string name = name_of_images(0);
  const Hdf5Array whole = hdf5_->describe(name);
  if (layout_.height == side_ && layout_.width == side_ && !whole.shape.empty() &&
      whole.shape[0] == found_.count && whole.type == name_of(layout_.type) &&
      std::ranges::count(whole.shape, layout_.channels) > 0)
    return;
  refuse(images_name_,
         "holds {} images of {} x {} x {} {}; expected {} of {} x {}, with the channels and type of {}",
         found_.count, layout_.channels, layout_.height, layout_.width, name_of(layout_.type),
         whole.shape.empty() ? 0 : whole.shape[0], side_, side_, name);
}

void Inspector::inspect_images() {
  found_.name = images_name_ = name_of_images(side_);
  const Hdf5Array array = hdf5_->describe(images_name_);
  const std::optional<ElementType> type = element_type_named(array.type);
  if (!type) refuse(images_name_, "holds {}; expected little-endian uint8, float16 or float32", array.type);
  layout_.type = *type;
  check_image_shape(images_name_, array.shape);
  shape_ = array.shape;
  found_.count = shape_[0];
  found_.channels_last = !own_format_ && shape_[1] > 4 && shape_[2] > 4 && shape_[3] <= 4;
  const std::size_t spatial = found_.channels_last ? 1 : 2;
  layout_.channels = shape_[found_.channels_last ? 3 : 1];
  layout_.height = shape_[spatial];
  layout_.width = shape_[spatial + 1];
  if (side_ > 0) check_copies();
  for (const std::int64_t side : schema::level_sides(layout_.height, layout_.width))
    if (hdf5_->contains(schema::level_name(side))) layout_.levels.push_back(side);
  if (array.storage == Hdf5Array::Storage::chunked && !own_format_) {
    found_.images = chunked_extent(images_name_, array, found_.image_chunks);
    return;
  }
  found_.images = plain_extent(images_name_, array);
  found_.images.block_bytes = digest_block_bytes(layout_.image_bytes());
  found_.image_digests = inspect_digests(side_ > 0 ? images_name_.substr(1) : "images", found_.images,
                                         size_of(layout_.type), layout_.image_bytes());
}

void Inspector::inspect_range() {
  const auto range = hdf5_->numbers("/", "value_range");
  if (!range && layout_.type == ElementType::uint8) return;
  if (!range)
    refuse("attribute value_range",
           "is missing; expected the two float64 values that stand for -1 and 1 (h5py: "
           "f.attrs['value_range'] = [low, high])");
  if (range->size() != 2 || !std::isfinite((*range)[0]) || !std::isfinite((*range)[1]) ||
      (*range)[0] >= (*range)[1])
    refuse("attribute value_range", "is [{}]; expected two finite numbers, the lower first",
           fmt::join(*range, ", "));
  layout_.low = (*range)[0];
  layout_.high = (*range)[1];
  if (layout_.type == ElementType::uint8 && (layout_.low != 0 || layout_.high != 255))
    refuse("attribute value_range", "is [{}, {}]; expected [0, 255] for uint8", layout_.low, layout_.high);
}

void Inspector::inspect_labels() {
  if (!hdf5_->contains("/labels")) {
    if (own_format_) refuse("/labels", "is missing; expected int64 [{}]", found_.count);
    return;
  }
  const Hdf5Array array = hdf5_->describe("/labels");
  if (array.type != "int64") refuse("/labels", "holds {}; expected little-endian int64 [N]", array.type);
  if (array.shape.size() != 1 || array.shape[0] != found_.count)
    refuse("/labels", "has shape {}; expected [{}], one label for each image of {}", text_of(array.shape),
           found_.count, images_name_);
  if (array.storage == Hdf5Array::Storage::chunked && !own_format_) {
    found_.labels = chunked_extent("/labels", array, found_.label_chunks);
    return;
  }
  found_.labels = plain_extent("/labels", array);
  found_.label_digests = inspect_digests("labels", found_.labels, 8, 8);
}

/// Texts [K], held against their digests, which names of classes must have in a file of this format.
std::vector<std::string> Inspector::inspect_texts(const std::string& name) {
  const Hdf5Array array = hdf5_->describe(name);
  if (array.type != "text" || array.shape.size() != 1)
    refuse(name, "holds {} of shape {}; expected text [K]", array.type, text_of(array.shape));
  const std::string digests_name = "/integrity" + name;
  if (own_format_ &&
      (name == "/class_names" || (hdf5_->contains("/integrity") && hdf5_->contains(digests_name)))) {
    BlockedExtent extent = plain_extent(name, array);
    const std::int64_t digests = inspect_digests(name.substr(1), extent, 1, array.element_bytes);
    std::vector<std::uint64_t> expected(static_cast<std::size_t>(extent.blocks()));
    file_.read_at(digests, std::as_writable_bytes(std::span(expected)));
    if (block_digests(file_, extent, 1) != expected)
      refuse(name,
             "does not match its digest: the bytes were damaged after writing; copy or pack the file anew");
  }
  return hdf5_->read_texts(name);
}

void Inspector::inspect_class_names() {
  if (!hdf5_->contains("/class_names")) return;
  layout_.class_names = inspect_texts("/class_names");
  for (std::size_t k = 0; k < layout_.class_names.size(); ++k)
    if (!is_utf8(layout_.class_names[k]))
      refuse("/class_names", "has a name, number {}, that is not UTF-8", k);
}

/// The offset of the digests of `object`, an array of such elements in such rows, whose block size is put
/// into `extent`; -1 in a foreign file without them.
std::int64_t Inspector::inspect_digests(const std::string& object, BlockedExtent& extent,
                                        std::int64_t element_bytes, std::int64_t row_bytes) {
  const std::string name = "/integrity/" + object;
  if (!hdf5_->contains("/integrity") || !hdf5_->contains(name)) {
    if (own_format_) refuse(name, "is missing; expected the digests of /{}", object);
    return -1;
  }
  const std::string algorithm = hdf5_->text(name, "algorithm").value_or("");
  if (algorithm != schema::digest_algorithm)
    refuse(name, "was made by '{}'; expected {}", algorithm, schema::digest_algorithm);
  const std::int64_t block_bytes = hdf5_->integer(name, "block_bytes").value_or(0);
  const std::int64_t most = std::max(schema::largest_block_bytes, row_bytes);
  if (block_bytes < 1 || block_bytes > most || block_bytes % element_bytes != 0)
    refuse(name, "has blocks of {} bytes; expected 1 to {}, whole values of {} bytes each", block_bytes, most,
           element_bytes);
  extent.block_bytes = block_bytes;
  const Hdf5Array array = hdf5_->describe(name);
  if (array.type != "uint64" || array.shape != std::vector{extent.blocks()})
    refuse(name, "holds {} of shape {}; expected uint64 [{}], one digest a block", array.type,
           text_of(array.shape), extent.blocks());
  return plain_extent(name, array).offset;
}

void Inspector::check_overlaps() {
  std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < parts_.size(); ++i)
    if (parts_[i - 1].offset + parts_[i - 1].bytes > parts_[i].offset)
      refuse(parts_[i].name, "starts at offset {}, within {}: the metadata are damaged", parts_[i].offset,
             parts_[i - 1].name);
}

/// Of an array that comes with the images, whose rows are the images of `layout`.
FileLayout Inspector::inspect_companion(const std::string& name, const Hdf5Array& array,
                                        const DatasetLayout& layout) {
  FileLayout place;
  place.path = std::filesystem::absolute(path_).string();
  place.name = name;
  place.count = array.shape[0];
  const std::string object = name.substr(1);
  const bool digests = hdf5_->contains("/integrity") && hdf5_->contains("/integrity/" + object);
  if (array.storage == Hdf5Array::Storage::chunked && !digests) {
    place.images = chunked_extent(name, array, place.image_chunks);
  } else {
    place.images = plain_extent(name, array);
    place.images.block_bytes = digest_block_bytes(layout.image_bytes());
    if (digests)
      place.image_digests = inspect_digests(object, place.images, size_of(layout.type), layout.image_bytes());
  }
  compare_samples(place, array.shape, layout.type);
  return place;
}

void Inspector::inspect_sources() {
  const std::string name = "/sources";
  if (!hdf5_->contains(name)) return;
  const Hdf5Array array = hdf5_->describe(name);
  if (array.type != "uint8") refuse(name, "holds {}; expected a second image set of uint8", array.type);
  check_image_shape(name, array.shape);
  const std::vector<std::int64_t>& shape = array.shape;
  const bool first = shape[2] == layout_.height && shape[3] == layout_.width;
  if (!first && !(shape[1] == layout_.height && shape[2] == layout_.width))
    refuse(
        name,
        "has shape {}; expected [M, C, {}, {}], images as high and wide as those of {}: resize them, or pack "
        "both sets with --size",
        text_of(shape), layout_.height, layout_.width, images_name_);
  DatasetLayout sources;
  sources.channels = shape[first ? 1 : 3];
  sources.height = layout_.height;
  sources.width = layout_.width;
  sources.paired = shape[0] == found_.count && hdf5_->integer(name, "paired").value_or(1) != 0;
  FileLayout place = inspect_companion(name, array, sources);
  place.channels_last = !first;
  sources.files.push_back(std::move(place));
  layout_.sources.push_back(std::move(sources));
}

void Inspector::inspect_embeddings() {
  const std::string name = "/embeddings";
  if (!hdf5_->contains(name)) return;
  const Hdf5Array array = hdf5_->describe(name);
  const std::vector<std::int64_t>& shape = array.shape;
  DatasetLayout embeddings;
  embeddings.channels = 1;
  embeddings.type = array.type == "float64" ? ElementType::float64
                                            : element_type_named(array.type).value_or(ElementType::uint8);
  if (embeddings.type == ElementType::uint8)
    refuse(name, "holds {}; expected little-endian float16, float32 or float64", array.type);
  if ((shape.size() != 2 && shape.size() != 3) || shape[0] != found_.count)
    refuse(name, "has shape {}; expected [{}, E] or [{}, K, E], one row for each image of {}", text_of(shape),
           found_.count, found_.count, images_name_);
  embeddings.height = shape.size() == 3 ? shape[1] : 1;
  embeddings.width = shape.back();
  const std::int64_t numbers[] = {embeddings.height, embeddings.width};
  if (checked_product(numbers) < 1 || checked_product(numbers) > schema::most_embedding_numbers)
    refuse(name, "has shape {}; expected 1 to {} numbers an image", text_of(shape),
           schema::most_embedding_numbers);
  // Batches hold float32.
  embeddings.high = embeddings.type == ElementType::float16 ? 65504. : std::numeric_limits<float>::max();
  embeddings.low = -embeddings.high;
  embeddings.files.push_back(inspect_companion(name, array, embeddings));
  layout_.embeddings.push_back(std::move(embeddings));
}

void Inspector::inspect_tokens() {
  const std::string name = "/tokens", vocabulary = "/vocabulary";
  if (!hdf5_->contains(name)) return;
  const Hdf5Array array = hdf5_->describe(name);
  if (array.type != "int32") refuse(name, "holds {}; expected little-endian int32", array.type);
  if (array.shape.size() != 2 || array.shape[0] != found_.count || array.shape[1] < 1 ||
      array.shape[1] > schema::most_tokens)
    refuse(name, "has shape {}; expected [{}, L], L of 1 to {} tokens for each image of {}",
           text_of(array.shape), found_.count, schema::most_tokens, images_name_);
  if (!hdf5_->contains(vocabulary))
    refuse(vocabulary, "is missing; expected the vocabulary of {}: make both by ganymede dataset tokenize",
           name);
  const std::vector<std::string> texts = inspect_texts(vocabulary);
  if (texts.size() != 2)
    refuse(vocabulary, "holds {} texts; expected vocab.json and merges.txt", texts.size());
  layout_.vocabulary = {texts[0], texts[1]};
  DatasetLayout tokens;
  tokens.channels = tokens.height = 1;
  tokens.width = array.shape[1];
  tokens.type = ElementType::int32;
  tokens.low = 0;
  tokens.high = static_cast<double>(
      Vocabulary::read(layout_.vocabulary, fmt::format("{}: {}", path_.string(), vocabulary)).size() - 1);
  tokens.files.push_back(inspect_companion(name, array, tokens));
  layout_.tokens.push_back(std::move(tokens));
}

/// The library's view of a few rows of an array [N, H, W], say, against ours.
void Inspector::compare_samples(const FileLayout& place, const std::vector<std::int64_t>& shape,
                                ElementType type) const {
  if (!place.image_chunks.empty()) return;
  // [N, planes, height, width]; those that are not there have length 1.
  const std::size_t axes = shape.size();
  const std::int64_t planes = axes > 2 ? shape[1] : 1, height = axes > 3 ? shape[2] : 1;
  const std::int64_t row_bytes = shape.back() * size_of(type);
  const std::int64_t rows = std::clamp<std::int64_t>((1 << 20) / row_bytes, 1, height);
  for (int sample = 0; sample < 8; ++sample) {
    const std::int64_t index = sample * (place.count - 1) / 7, plane = sample % planes;
    const std::int64_t row = sample % 2 == 0 ? 0 : height - rows;
    std::vector<std::int64_t> start{index, plane, row, 0}, count{1, 1, rows, shape.back()};
    for (std::vector<std::int64_t>* each : {&start, &count}) {
      if (axes < 4) each->erase(each->begin() + 2);
      if (axes < 3) each->erase(each->begin() + 1);
    }
    const std::vector<std::byte> expected = hdf5_->read(place.name, start, count);
    std::vector<std::byte> bytes(static_cast<std::size_t>(rows * row_bytes));
    file_.read_at(place.images.offset + ((index * planes + plane) * height + row) * row_bytes, bytes);
    if (bytes != expected)
      refuse(place.name, "reads differently through libhdf5 at image {}: {}", index, repack);
  }
}

DatasetLayout Inspector::inspect() {
  check_signature();
  hdf5_ = Hdf5File::open(path_);
  check_format();
  inspect_images();
  inspect_range();
  inspect_labels();
  inspect_class_names();
  if (side_ == 0) {
    inspect_sources();
    inspect_embeddings();
    inspect_tokens();
  }
  check_overlaps();
  compare_samples(found_, shape_, layout_.type);
  found_.path = std::filesystem::absolute(path_).string();
  layout_.files.push_back(found_);
  struct stat status {};
  ::fstat(file_.descriptor(), &status);
  const auto identify = [&](DatasetLayout& layout) {
    for (FileLayout& file : layout.files) {
      file.size = size_;
      file.modified = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
      file.inode = static_cast<std::int64_t>(status.st_ino);
    }
  };
  identify(layout_);
  for (DatasetLayout& each : layout_.sources) identify(each);
  for (DatasetLayout& each : layout_.embeddings) identify(each);
  for (DatasetLayout& each : layout_.tokens) identify(each);
  return layout_;
}

}  // namespace

DatasetLayout inspect_file(const std::filesystem::path& path, std::int64_t side) {
  return Inspector(path, side).inspect();
}

}  // namespace ganymede
