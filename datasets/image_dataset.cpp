#include "datasets/image_dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "datasets/guarded_process.h"
#include "datasets/inspect_file.h"
#include "datasets/memory_limit.h"
#include "datasets/schema.h"

namespace ganymede {
namespace {

constexpr std::int64_t most_cache = std::int64_t{1} << 30;
constexpr std::uintmax_t bytes_inspected_a_second = 256 << 20;  ///< at least: a tree of millions of chunks takes its time

DatasetLayout inspect_guarded(const std::filesystem::path& path, std::int64_t side) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    fail(ExitCode::dataset, "{}: no such file: check the path", path.string());
  if (!std::filesystem::is_regular_file(status))
    fail(ExitCode::dataset,
         "{}: not a file; expected an HDF5 file, as `ganymede dataset pack` makes from a folder",
         path.string());
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (bytes == 0)
    fail(ExitCode::dataset, "{}: the file is empty; expected an HDF5 file", path.string());
  GuardLimits limits;
  const std::chrono::seconds for_size(static_cast<std::int64_t>(bytes / bytes_inspected_a_second));
  limits.time += for_size;
  limits.processor += for_size;
  return layout_from_json(
      run_guarded(path.string(), limits, [&] { return to_json(inspect_file(path, side)); }));
}

std::string description_of(const DatasetLayout& layout) {
  return fmt::format("{} [{}, {}, {}] in [{}, {}] with {} class names", name_of(layout.type), layout.channels,
                     layout.height, layout.width, layout.low, layout.high, layout.class_names.size());
}

bool agree(const DatasetLayout& a, const DatasetLayout& b) {
  return a.type == b.type && a.channels == b.channels && a.height == b.height && a.width == b.width &&
         a.low == b.low && a.high == b.high && a.class_names == b.class_names;
}

void append(DatasetLayout& whole, const DatasetLayout& part);

/// Of what may come with the images.
void append_companions(std::vector<DatasetLayout>& whole, const std::vector<DatasetLayout>& part,
                       const char* name, const std::string& path) {
  if (whole.size() != part.size())
    fail(ExitCode::dataset, "{}: {} {}, unlike the files before: only like files can be joined", path,
         part.empty() ? "lacks" : "has", name);
  if (!whole.empty()) append(whole.front(), part.front());
}

void append(DatasetLayout& whole, const DatasetLayout& part) {
  if (!agree(whole, part))
    fail(ExitCode::dataset,
         "{}: holds {}; expected {} and the same names as in {}: only like files can be joined",
         part.files.front().path, description_of(part), description_of(whole), whole.files.front().path);
  std::erase_if(whole.levels,
                [&](std::int64_t side) { return std::ranges::find(part.levels, side) == part.levels.end(); });
  whole.paired = whole.paired && part.paired;
  append_companions(whole.sources, part.sources, "/sources", part.files.front().path);
  append_companions(whole.embeddings, part.embeddings, "/embeddings", part.files.front().path);
  append_companions(whole.tokens, part.tokens, "/tokens", part.files.front().path);
  if (whole.vocabulary != part.vocabulary)
    fail(ExitCode::dataset,
         "{}: its tokens are of another vocabulary than those of {}: tokenize both by the same --vocabulary",
         part.files.front().path, whole.files.front().path);
  whole.files.push_back(part.files.front());
}

}  // namespace

std::string ImageDataset::inspect(const std::vector<std::filesystem::path>& files, std::int64_t side) {
  if (files.empty()) fail(ExitCode::dataset, "no dataset file given: name at least one with --data");
  DatasetLayout layout = inspect_guarded(files.front(), side);
  for (std::size_t i = 1; i < files.size(); ++i) append(layout, inspect_guarded(files[i], side));
  ImageDataset(layout, 0).note_fingerprints(layout);
  return to_json(layout);
}

void ImageDataset::note_fingerprints(DatasetLayout& layout) const {
  for (std::size_t i = 0; i < files_.size(); ++i) layout.files[i].fingerprint = files_[i].fingerprint();
  if (sources_) sources_->note_fingerprints(layout.sources.front());
  if (embeddings_) embeddings_->note_fingerprints(layout.embeddings.front());
  if (tokens_) tokens_->note_fingerprints(layout.tokens.front());
}

std::int64_t ImageDataset::default_cache(int processes) {
  return std::min(most_cache, memory_limit() / 4 / processes);
}

ImageDataset ImageDataset::attach(const std::string& layout, std::optional<std::int64_t> cache_bytes) {
  ImageDataset dataset(layout_from_json(layout), cache_bytes.value_or(default_cache(1)));
  dataset.check_fingerprints();
  return dataset;
}

void ImageDataset::check_fingerprints() const {
  for (const DatasetFile& file : files_)
    if (file.fingerprint() != file.layout().fingerprint)
      fail(ExitCode::dataset,
           "{}: labels or digests differ from those that the first rank saw: do all nodes see the same file?",
           file.layout().path);
  for (const auto& companion : {sources_, embeddings_, tokens_})
    if (companion) companion->check_fingerprints();
}

ImageDataset::ImageDataset(DatasetLayout layout, std::int64_t cache_bytes)
    : layout_(std::move(layout)),
      cache_(std::make_shared<BlockCache>(layout_.sources.empty() && layout_.embeddings.empty() &&
                                                  layout_.tokens.empty()
                                              ? cache_bytes
                                              : cache_bytes / 2)) {
  const auto companion = [&](const std::vector<DatasetLayout>& layouts) {
    return layouts.empty()
               ? nullptr
               : std::shared_ptr<const ImageDataset>(new ImageDataset(layouts.front(), cache_bytes / 4));
  };
  sources_ = companion(layout_.sources);
  embeddings_ = companion(layout_.embeddings);
  tokens_ = companion(layout_.tokens);
  for (std::size_t i = 0; i < layout_.files.size(); ++i) {
    first_.push_back(size());
    files_.emplace_back(layout_, i, cache_);
    labels_.insert(labels_.end(), files_.back().labels().begin(), files_.back().labels().end());
  }
  const auto names = static_cast<std::int64_t>(layout_.class_names.size());
  const std::int64_t bound = names > 0 ? names : schema::most_classes;
  for (std::int64_t i = 0; i < size(); ++i) {
    const std::int64_t label = labels_[static_cast<std::size_t>(i)];
    if (label >= -1 && label < bound) continue;
    const Place place = place_of(i);
    fail(ExitCode::dataset, "{}: /labels: image {} is labelled {}; expected -1 (none) to {}",
         place.file.layout().path, place.index, label, bound - 1);
  }
  const std::int64_t largest = *std::max_element(labels_.begin(), labels_.end());
  classes_ = largest >= 0 && names > 0 ? names : largest + 1;
}

ImageDataset::Place ImageDataset::place_of(std::int64_t index) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), index);
  const auto file = static_cast<std::size_t>(after - first_.begin() - 1);
  return {files_[file], index - first_[file]};
}

void ImageDataset::read(std::int64_t index, std::span<std::byte> image) const {
  const Place place = place_of(index);
  place.file.read(place.index, image);
}

void ImageDataset::prefetch(std::int64_t index) const {
  const Place place = place_of(index);
  place.file.prefetch(place.index);
}

void ImageDataset::advise(std::int64_t first, std::int64_t count) const {
  while (count > 0) {
    const Place place = place_of(first);
    const std::int64_t here = std::min(count, place.file.layout().count - place.index);
    place.file.advise(place.index, here);
    first += here;
    count -= here;
  }
}

void ImageDataset::verify_block_of(std::int64_t index) const {
  const Place place = place_of(index);
  place.file.verify_blocks_of(place.index);
}

std::string ImageDataset::where(std::int64_t index) const {
  const Place place = place_of(index);
  return fmt::format("{}: {}: image {}", place.file.layout().path, place.file.layout().name, place.index);
}

std::int64_t ImageDataset::decoded_together() const {
  std::int64_t most = 1;
  for (const DatasetFile& file : files_) most = std::max(most, file.decoded_together());
  return most;
}

bool ImageDataset::has_digests() const {
  return std::all_of(files_.begin(), files_.end(),
                     [](const DatasetFile& file) { return file.has_digests(); });
}

std::string ImageDataset::digest() const {
  std::string text = description_of(layout_);
  for (const std::string& name : layout_.class_names) text += fmt::format("\n{}:{}", name.size(), name);
  for (const FileLayout& file : layout_.files)
    text += fmt::format("\n{} {}", file.count, hex(file.fingerprint));
  if (sources_) text += fmt::format("\nsources {} {}", layout_.sources.front().paired, sources_->digest());
  if (embeddings_) text += "\nembeddings " + embeddings_->digest();
  if (tokens_)
    text += fmt::format("\ntokens {} {} {}", tokens_->digest(), hex(Xxh3::of(layout_.vocabulary.vocab)),
                        hex(Xxh3::of(layout_.vocabulary.merges)));
  return hex(Xxh3::of(text));
}

}  // namespace ganymede
