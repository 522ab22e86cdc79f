#include "datasets/dataset_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "datasets/block_digests.h"
#include "datasets/hdf5_file.h"
#include "datasets/schema.h"
#include "datasets/shrink.h"

namespace ganymede {
namespace {

/// Room for the file's metadata when space is reserved before the HDF5 library may meet a full disk.
constexpr std::int64_t metadata_bytes = 1 << 17;

std::string random_uuid() {
  std::random_device device;
  std::string uuid = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
  for (char& digit : uuid)
    if (digit == 'x') digit = "0123456789abcdef"[device() % 16];
  return uuid;
}

void check(const std::filesystem::path& path, const DatasetDescription& d) {
  const auto refuse = [&](const std::string& what) {
    fail(ExitCode::dataset, "{}: {}", path.string(), what);
  };
  if (d.count < 1) refuse("no images to write; expected at least one");
  if (d.channels < 1 || d.height < 1 || d.width < 1)
    refuse(fmt::format("images of {} x {} x {} values; expected at least one along each axis", d.channels,
                       d.height, d.width));
  const std::int64_t factors[] = {d.count, d.channels, d.height, d.width, size_of(d.type), 8};
  if (checked_product(factors) < 0) refuse("more bytes of images than a file can hold");
  if (!std::isfinite(d.low) || !std::isfinite(d.high) || d.low >= d.high)
    refuse(fmt::format("a value range of [{}, {}]; expected finite numbers, the lower first", d.low, d.high));
  if (d.type == ElementType::uint8 && (d.low != 0 || d.high != 255))
    refuse(fmt::format("uint8 images with range [{}, {}]; expected [0, 255]", d.low, d.high));
  const std::int64_t companions[] = {d.sources.count, d.sources.channels, d.height, d.width, 8};
  const std::int64_t numbers[] = {d.count, d.embeddings.captions + 1, d.embeddings.numbers, 8};
  const std::int64_t text[] = {d.count, d.caption_bytes + d.tokens.length, 8};
  if (checked_product(companions) < 0 || checked_product(numbers) < 0 || checked_product(text) < 0)
    refuse("more bytes of sources, embeddings or captions than a file can hold");
  if (d.sources.paired && d.sources.count != d.count)
    refuse(
        fmt::format("{} sources for {} images; expected one each of paired sets", d.sources.count, d.count));
  for (const std::string& name : d.class_names)
    if (!is_utf8(name)) refuse("a class name that is not UTF-8");
  if (d.pyramid && schema::level_sides(d.height, d.width).empty())
    refuse(fmt::format(
        "images of {} x {} pixels have no pyramid; expected squares whose side is a power of two from 8 on",
        d.height, d.width));
}

}  // namespace

struct DatasetWriter::State {
  /// The images averaged over shrink x shrink pixels.
  struct Level {
    std::int64_t shrink;
    BlockedExtent images;
    std::int64_t digests;  ///< offset
  };
  /// An array that comes with the images, in rows of `row_bytes`.
  struct Companion {
    const char* name;
    std::int64_t row_bytes;
    BlockedExtent extent;
    std::int64_t digests;
    std::vector<bool> written;
  };
  std::filesystem::path path, temporary;
  DatasetDescription description;
  std::optional<File> file;
  BlockedExtent images, labels;
  std::vector<Level> levels;
  /// An array of texts that are known from the start.
  struct Texts {
    std::vector<std::string> values;
    std::int64_t text_bytes;  ///< of the longest
    BlockedExtent extent;
    std::int64_t digests;
  };
  std::optional<Companion> sources, embeddings, captions, tokens;
  std::vector<Texts> texts;
  std::int64_t image_digests = 0, label_digests = 0;  ///< offsets
  std::vector<std::int64_t> label_values;
  std::mutex mutex;
  std::vector<bool> written;

  ~State() {
    if (file) ::unlink(temporary.c_str());
  }

  void create_file();
  void create_arrays(Hdf5File& hdf5);
  Companion create_companion(Hdf5File& hdf5, const char* name, const Hdf5File::NewArray& array,
                             std::int64_t row_bytes);
  void create_attributes(Hdf5File& hdf5) const;
  void write_companion(Companion& companion, std::int64_t first, std::span<const std::byte> rows);
  std::int64_t create_digests(Hdf5File& hdf5, const std::string& object, const BlockedExtent& extent) const;
  /// The same images, smaller.
  void write_level(const Level& level, std::int64_t first, std::span<const std::byte> bytes);
  void create_texts(Hdf5File& hdf5, const char* name, std::vector<std::string> values);
  /// [count, text_bytes], each followed by zeros.
  static std::vector<std::byte> padded(std::span<const std::string> values, std::int64_t text_bytes);
  auto companions() const { return std::array{&sources, &embeddings, &captions, &tokens}; }
  void write_digests(const BlockedExtent& extent, std::int64_t offset, int threads);
};

void DatasetWriter::State::create_file() {
  std::error_code unknown;  // creating the file says more
  if (std::filesystem::is_directory(path, unknown))
    fail(ExitCode::storage, "cannot write {}: it is a folder; name a file", path.string());
  file = File::create_exclusively(temporary);
  const std::int64_t images_bytes = description.count * description.image_bytes();
  const std::int64_t beside = description.sources.count * description.source_bytes() +
                              description.count * (description.embedding_bytes() + description.text_bytes()) +
                              2 * static_cast<std::int64_t>(description.tokens.vocabulary.vocab.size() +
                                                            description.tokens.vocabulary.merges.size());
  file->reserve(images_bytes + (description.pyramid ? images_bytes / 3 : 0) + beside + description.count * 8 +
                metadata_bytes);
  Hdf5File hdf5 = Hdf5File::create(temporary, std::min<std::int64_t>(images_bytes, 4096));
  create_arrays(hdf5);
  create_attributes(hdf5);
  hdf5.close();
  // The library truncates the file when it opens it: the space is reserved anew.
  file->reserve(file->size());
}

void DatasetWriter::State::create_arrays(Hdf5File& hdf5) {
  const DatasetDescription& d = description;
  images = {
      hdf5.create_array("/images", {std::string(name_of(d.type)), {d.count, d.channels, d.height, d.width}}),
      d.count * d.image_bytes(), digest_block_bytes(d.image_bytes())};
  labels = {hdf5.create_array("/labels", {"int64", {d.count}}), d.count * 8, digest_block_bytes(8)};
  hdf5.create_hard_link("/images", "/imgs");
  if (d.height == d.width) hdf5.create_hard_link("/images", schema::level_name(d.width));
  hdf5.create_group("/integrity");
  image_digests = create_digests(hdf5, "images", images);
  for (const std::int64_t side :
       d.pyramid ? schema::level_sides(d.height, d.width) : std::vector<std::int64_t>()) {
    const std::int64_t shrink = d.height / side, bytes = d.image_bytes() / (shrink * shrink);
    const std::string name = schema::level_name(side);
    const std::int64_t offset =
        hdf5.create_array(name, {std::string(name_of(d.type)), {d.count, d.channels, side, side}});
    levels.push_back({shrink, {offset, d.count * bytes, digest_block_bytes(bytes)}, 0});
    levels.back().digests = create_digests(hdf5, name.substr(1), levels.back().images);
  }
  label_digests = create_digests(hdf5, "labels", labels);
  if (d.sources.count > 0) {
    sources =
        create_companion(hdf5, "sources", {"uint8", {d.sources.count, d.sources.channels, d.height, d.width}},
                         d.source_bytes());
    hdf5.set_integer("/sources", "paired", d.sources.paired ? 1 : 0);
  }
  if (d.embeddings.numbers > 0) {
    std::vector<std::int64_t> shape{d.count, d.embeddings.captions, d.embeddings.numbers};
    if (d.embeddings.captions == 0) shape.erase(shape.begin() + 1);
    embeddings = create_companion(hdf5, "embeddings", {"float32", shape}, d.embedding_bytes());
  }
  if (d.caption_bytes > 0)
    captions = create_companion(hdf5, "captions", {"text", {d.count}, d.caption_bytes}, d.caption_bytes);
  if (d.tokens.length > 0) {
    tokens = create_companion(hdf5, "tokens", {"int32", {d.count, d.tokens.length}}, 4 * d.tokens.length);
    create_texts(hdf5, "vocabulary", {d.tokens.vocabulary.vocab, d.tokens.vocabulary.merges});
  }
  if (!d.class_names.empty()) create_texts(hdf5, "class_names", d.class_names);
}

void DatasetWriter::State::create_texts(Hdf5File& hdf5, const char* name, std::vector<std::string> values) {
  std::int64_t bytes = 1;
  for (const std::string& value : values) bytes = std::max(bytes, std::ssize(value));
  const BlockedExtent extent{
      hdf5.create_array(fmt::format("/{}", name), {"text", {std::ssize(values)}, bytes}),
      std::ssize(values) * bytes, digest_block_bytes(bytes)};
  texts.push_back({std::move(values), bytes, extent, create_digests(hdf5, name, extent)});
}

DatasetWriter::State::Companion DatasetWriter::State::create_companion(Hdf5File& hdf5, const char* name,
                                                                       const Hdf5File::NewArray& array,
                                                                       std::int64_t row_bytes) {
  const std::int64_t rows = array.shape.front();
  const BlockedExtent extent{hdf5.create_array(fmt::format("/{}", name), array), rows * row_bytes,
                             digest_block_bytes(row_bytes)};
  return {name, row_bytes, extent, create_digests(hdf5, name, extent),
          std::vector<bool>(static_cast<std::size_t>(rows), false)};
}

void DatasetWriter::State::write_companion(Companion& companion, std::int64_t first,
                                           std::span<const std::byte> rows) {
  const auto size = static_cast<std::int64_t>(rows.size()), count = size / companion.row_bytes;
  if (first < 0 || size % companion.row_bytes != 0 || first + count > std::ssize(companion.written))
    throw std::logic_error(
        fmt::format("{}: {} bytes at row {} of {}", companion.name, size, first, companion.written.size()));
  file->write_at(companion.extent.offset + first * companion.row_bytes, rows);
  const std::lock_guard lock(mutex);
  std::fill_n(companion.written.begin() + first, count, true);
}

std::int64_t DatasetWriter::State::create_digests(Hdf5File& hdf5, const std::string& object,
                                                  const BlockedExtent& extent) const {
  const std::string name = "/integrity/" + object;
  const std::int64_t offset = hdf5.create_array(name, {"uint64", {extent.blocks()}});
  hdf5.set_integer(name, "block_bytes", extent.block_bytes);
  hdf5.set_text(name, "algorithm", std::string(schema::digest_algorithm));
  return offset;
}

void DatasetWriter::State::create_attributes(Hdf5File& hdf5) const {
  hdf5.set_text("/", "format", std::string(schema::format));
  hdf5.set_integer("/", "format_version", schema::version);
  hdf5.set_text("/", "uuid", random_uuid());
  const double range[] = {description.low, description.high};
  hdf5.set_numbers("/", "value_range", range);
  const std::set<std::string> taken = {"format", "format_version", "uuid", "value_range"};
  for (const auto& [name, value] : description.provenance) {
    if (taken.count(name))
      throw std::logic_error("provenance names the attribute " + name + " of the format");
    hdf5.set_text("/", name, value);
  }
}

void DatasetWriter::State::write_level(const Level& level, std::int64_t first,
                                       std::span<const std::byte> bytes) {
  const DatasetDescription& d = description;
  const auto image_bytes = static_cast<std::size_t>(d.image_bytes());
  const std::size_t small_bytes = image_bytes / static_cast<std::size_t>(level.shrink * level.shrink);
  std::vector<std::byte> small(bytes.size() / image_bytes * small_bytes);
  for (std::size_t i = 0; i < bytes.size() / image_bytes; ++i)
    shrink_image(d.type, bytes.subspan(i * image_bytes, image_bytes), d.channels, d.height, d.width,
                 level.shrink, small.data() + i * small_bytes);
  file->write_at(level.images.offset + first * static_cast<std::int64_t>(small_bytes), small);
}

std::vector<std::byte> DatasetWriter::State::padded(std::span<const std::string> values,
                                                    std::int64_t text_bytes) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(text_bytes));
  for (std::size_t i = 0; i < values.size(); ++i)
    std::memcpy(bytes.data() + i * static_cast<std::size_t>(text_bytes), values[i].data(),
                std::min(values[i].size(), static_cast<std::size_t>(text_bytes)));
  return bytes;
}

void DatasetWriter::State::write_digests(const BlockedExtent& extent, std::int64_t offset, int threads) {
  const std::vector<std::uint64_t> digests = block_digests(*file, extent, threads);
  file->write_at(offset, std::as_bytes(std::span(digests)));
}

DatasetWriter::DatasetWriter(std::filesystem::path path, DatasetDescription description)
    : state_(std::make_unique<State>()) {
  check(path, description);
  state_->path = std::move(path);
  state_->temporary = state_->path;
  state_->temporary += ".partial";
  state_->description = std::move(description);
  state_->label_values.assign(static_cast<std::size_t>(state_->description.count), -1);
  state_->written.assign(static_cast<std::size_t>(state_->description.count), false);
  state_->create_file();
}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::write_images(std::int64_t first, std::span<const std::byte> bytes) {
  const std::int64_t image_bytes = state_->description.image_bytes();
  const auto size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t count = size / image_bytes;
  if (first < 0 || size % image_bytes != 0 || first + count > state_->description.count)
    throw std::logic_error(
        fmt::format("write_images: {} bytes at image {} of {}", size, first, state_->description.count));
  state_->file->write_at(state_->images.offset + first * image_bytes, bytes);
  for (const State::Level& level : state_->levels) state_->write_level(level, first, bytes);
  const std::lock_guard lock(state_->mutex);
  std::fill_n(state_->written.begin() + first, count, true);
}

void DatasetWriter::write_sources(std::int64_t first, std::span<const std::byte> images) {
  state_->write_companion(state_->sources.value(), first, images);
}

void DatasetWriter::write_embeddings(std::int64_t first, std::span<const float> numbers) {
  state_->write_companion(state_->embeddings.value(), first, std::as_bytes(numbers));
}

void DatasetWriter::write_captions(std::int64_t first, std::span<const std::string> captions) {
  state_->write_companion(state_->captions.value(), first,
                          State::padded(captions, state_->description.caption_bytes));
}

void DatasetWriter::write_tokens(std::int64_t first, std::span<const std::int32_t> tokens) {
  state_->write_companion(state_->tokens.value(), first, std::as_bytes(tokens));
}

void DatasetWriter::write_labels(std::span<const std::int64_t> labels) {
  const DatasetDescription& d = state_->description;
  if (static_cast<std::int64_t>(labels.size()) != d.count)
    fail(ExitCode::dataset, "{}: {} labels for {} images", state_->path.string(), labels.size(), d.count);
  const std::int64_t bound =
      d.class_names.empty() ? schema::most_classes : static_cast<std::int64_t>(d.class_names.size());
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < -1 || labels[i] >= bound)
      fail(ExitCode::dataset, "{}: image {} is labelled {}; expected -1 to {}", state_->path.string(), i,
           labels[i], bound - 1);
  state_->label_values.assign(labels.begin(), labels.end());
}

void DatasetWriter::finish() {
  const auto missing = std::find(state_->written.begin(), state_->written.end(), false);
  if (missing != state_->written.end())
    throw std::logic_error(
        fmt::format("dataset writer: image {} was never written", missing - state_->written.begin()));
  for (const auto* companion : state_->companions())
    if (*companion && std::ranges::count((*companion)->written, false) > 0)
      throw std::logic_error(fmt::format("dataset writer: some of {} was never written", (*companion)->name));
  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 16u));
  state_->file->write_at(state_->labels.offset, std::as_bytes(std::span(state_->label_values)));
  for (const State::Texts& texts : state_->texts)
    state_->file->write_at(texts.extent.offset, State::padded(texts.values, texts.text_bytes));
  state_->write_digests(state_->images, state_->image_digests, threads);
  for (const State::Level& level : state_->levels)
    state_->write_digests(level.images, level.digests, threads);
  for (const auto* companion : state_->companions())
    if (*companion) state_->write_digests((*companion)->extent, (*companion)->digests, threads);
  state_->write_digests(state_->labels, state_->label_digests, threads);
  for (const State::Texts& texts : state_->texts) state_->write_digests(texts.extent, texts.digests, threads);
  state_->file->sync();
  // Locked until it has its name: nobody else may take it for what a dead process left.
  rename_durably(state_->temporary, state_->path);
  state_->file.reset();
}

}  // namespace ganymede
