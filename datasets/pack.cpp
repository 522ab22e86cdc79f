#include "datasets/pack.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <vector>

#include "core/error.h"
#include "datasets/image_conversion.h"
#include "datasets/npy_rows.h"
#include "datasets/packing_crew.h"
#include "datasets/schema.h"

namespace ganymede {
namespace {

constexpr std::int64_t largest_side = 16384;

void check(const PackOptions& options) {
  if (options.size && (*options.size < 1 || *options.size > largest_side))
    fail(ExitCode::options, "--size {}: 1 to {} pixels", *options.size, largest_side);
  if (options.channels && *options.channels != 1 && *options.channels != 3)
    fail(ExitCode::options, "--channels {}: 1 or 3", *options.channels);
  if (options.range && !(std::isfinite(options.range->low) && std::isfinite(options.range->high) &&
                         options.range->low < options.range->high))
    fail(ExitCode::options, "--range {},{}: two finite numbers, the smaller one first", options.range->low,
         options.range->high);
  const bool made = options.pairs.kind != PairOptions::Kind::none;
  if (made && !options.sources.empty())
    fail(ExitCode::options, "--pairs makes the sources that --sources names: give one of them");
  if (options.paired && options.sources.empty())
    fail(ExitCode::options,
         "--paired says how --sources belong to the images: give these too, or leave it out");
  std::error_code unknown;  // what cannot be looked at cannot be written either: the writer says why
  if (!options.force && std::filesystem::exists(options.out, unknown))
    fail(ExitCode::options, "{} exists: choose another name, or --force to replace it", options.out.string());
}

/// Numbered by what pairs them.
using PlacesOfNames = std::map<std::string, std::int64_t>;

/// A path without its extension: a photograph may be paired with a drawing.
std::string stem_of(const std::string& path) {
  return std::filesystem::path(path).replace_extension().string();
}

PlacesOfNames places_of(const ImageSource& images, const std::filesystem::path& path) {
  PlacesOfNames places;
  for (std::int64_t i = 0; i < images.count(); ++i)
    if (const std::string stem = stem_of(images.contents().names[static_cast<std::size_t>(i)]);
        !places.emplace(stem, i).second)
      fail(ExitCode::dataset, "{}: two images are called {}: --paired goes by paths without extensions",
           path.string(), stem);
  return places;
}

/// What --sources adds.
struct SecondSet {
  PackOptions options;  ///< the images', of the second source
  std::unique_ptr<ImageSource> source;
  std::optional<ImageConversion> conversion;
  std::vector<std::int64_t> places = {};  ///< of each image in the file; empty: their own order

  std::int64_t place(std::int64_t index) const {
    return places.empty() ? index : places[static_cast<std::size_t>(index)];
  }
};

/// Row i of the second set becomes the one of image i's name; two sets without names are paired as they come.
void pair_by_name(const PackOptions& options, const ImageSource& images, SecondSet& second) {
  if (images.count() != second.source->count())
    fail(ExitCode::dataset, "{} holds {} images and {} holds {}: --paired needs one source an image",
         options.source.string(), images.count(), options.sources.string(), second.source->count());
  const bool named = !images.contents().names.empty();
  if (named == second.source->contents().names.empty())
    fail(ExitCode::dataset,
         "the images of {} have names, those of {} have none: --paired needs names of both sets or of "
         "neither, so give two folders or archives, or two arrays in one order",
         (named ? options.source : options.sources).string(),
         (named ? options.sources : options.source).string());
  if (!named) return;
  const PlacesOfNames places = places_of(images, options.source);
  places_of(*second.source, options.sources);
  for (const std::string& name : second.source->contents().names) {
    const auto found = places.find(stem_of(name));
    if (found == places.end())
      fail(ExitCode::dataset,
           "{} has no image called {} to pair {} with: --paired goes by paths without extensions",
           options.source.string(), stem_of(name), (options.sources / name).string());
    second.places.push_back(found->second);
  }
}

std::unique_ptr<SecondSet> open_second_set(const PackOptions& options, const ImageSource& images,
                                           const DatasetDescription& description) {
  auto second = std::make_unique<SecondSet>();
  second->options = options;
  second->options.source = options.sources;
  second->options.pyramid = false;
  second->options.range.reset();  // the second set is of bytes
  second->source = open_image_source(options.sources, "");
  // Before the conversion, which reads all of a set of real numbers for their range.
  if (const ElementType type = second->source->decode(0, second->source->first(), 0).type;
      type != ElementType::uint8)
    fail(ExitCode::dataset, "{} holds {}: a second image set is of uint8", options.sources.string(),
         name_of(type));
  second->conversion.emplace(second->options, *second->source);
  const DatasetDescription found = second->conversion->description();
  if (found.height != description.height || found.width != description.width)
    fail(ExitCode::dataset, "{} has images of {} x {} pixels, {} of {} x {}: give --size to make them alike",
         options.sources.string(), found.width, found.height, options.source.string(), description.width,
         description.height);
  if (options.paired) pair_by_name(options, images, *second);
  return second;
}

void describe_embeddings(const PackOptions& options, const NpyRows& rows, DatasetDescription& description) {
  const std::vector<std::int64_t>& shape = rows.header().shape;
  if (shape.size() != 2 && shape.size() != 3)
    fail(ExitCode::dataset, "{} is {}: expected [N, E] or [N, K, E]", options.embeddings.string(),
         rows.header().description());
  if (rows.count() != description.count)
    fail(ExitCode::dataset,
         "{} holds {} rows for {} images: expected one an image, in the order in which they are packed, "
         "sorted by class folder and path",
         options.embeddings.string(), rows.count(), description.count);
  if (rows.width() > schema::most_embedding_numbers)
    fail(ExitCode::dataset, "{} is {}: {} numbers an image, expected at most {}: save fewer or shorter rows",
         options.embeddings.string(), rows.header().description(), rows.width(),
         schema::most_embedding_numbers);
  description.embeddings = {shape.size() == 3 ? shape[1] : 0, shape.back()};
  description.provenance["embeddings_from"] = options.embeddings.filename().string();
}

/// The lines of --captions, one an image.
std::vector<std::string> captions_of(const PackOptions& options, DatasetDescription& description) {
  std::ifstream file(options.captions, std::ios::binary);
  std::vector<std::string> captions;
  for (std::string line; std::getline(file, line); captions.push_back(std::move(line))) {
    if (line.ends_with('\r')) line.pop_back();
    if (!is_utf8(line))
      fail(ExitCode::dataset, "{}: line {} is not UTF-8: save it again", options.captions.string(),
           captions.size() + 1);
    description.caption_bytes = std::max({description.caption_bytes, std::ssize(line), std::int64_t{1}});
  }
  if (!file.eof()) fail(ExitCode::dataset, "{}: cannot be read: check --captions", options.captions.string());
  if (std::ssize(captions) != description.count)
    fail(ExitCode::dataset,
         "{} holds {} lines for {} images: expected one an image, in the order in which they are packed, "
         "sorted "
         "by class folder and path",
         options.captions.string(), captions.size(), description.count);
  return captions;
}

void write_embeddings(const NpyRows& rows, DatasetWriter& writer) {
  const std::int64_t together = std::max<std::int64_t>(1, (1 << 18) / rows.width());
  for (std::int64_t first = 0; first < rows.count(); first += together)
    writer.write_embeddings(first, rows.read(first, std::min(together, rows.count() - first)));
}

}  // namespace

double PackProgress::images_per_second() const {
  return seconds > 0 ? static_cast<double>(done) / seconds : 0;
}

double PackProgress::seconds_left() const {
  return done > 0 ? seconds / static_cast<double>(done) * static_cast<double>(total - done) : 0;
}

PackReport pack(const PackOptions& options, const PackProgressCallback& progress) {
  check(options);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto source = open_image_source(options.source, options.subdir);
  ImageConversion conversion(options, *source);
  PackReport report{.dataset = conversion.description(), .skipped = source->contents().skipped};
  DatasetDescription& made = report.dataset;
  std::optional<ImagePairs> pairs;
  std::unique_ptr<SecondSet> second;
  std::optional<NpyRows> embeddings;
  if (options.pairs.kind != PairOptions::Kind::none) {
    if (made.type != ElementType::uint8)
      fail(ExitCode::options, "--pairs makes pairs of bytes, {} holds {}: leave it out",
           options.source.string(), name_of(made.type));
    pairs.emplace(options.pairs, made.channels, made.height, made.width);
    made.sources = {made.count, pairs->source_channels(), true};
    made.provenance["sources_from"] = pairs->description();
  } else if (!options.sources.empty()) {
    second = open_second_set(options, *source, made);
    made.sources = {second->source->count(), second->conversion->description().channels, options.paired};
    made.provenance["sources_from"] = options.sources.lexically_normal().filename().string();
    for (const auto& [reason, count] : second->source->contents().skipped) report.skipped[reason] += count;
  }
  if (!options.embeddings.empty()) describe_embeddings(options, embeddings.emplace(options.embeddings), made);
  const std::vector<std::string> captions =
      options.captions.empty() ? std::vector<std::string>() : captions_of(options, made);
  DatasetWriter writer(options.out, made);

  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const std::int64_t total = source->count() + (second ? second->source->count() : 0);
  std::int64_t before = 0;
  const auto pack_set = [&](ImageSource& from, ImageConversion& by, const PackingCrew::Write& write) {
    PackingCrew crew(from, by, write, options.threads > 0 ? options.threads : cores);
    bool ended = false;
    while (!ended) {
      ended = crew.wait(std::chrono::milliseconds(500));
      if (progress) progress({before + crew.done(), total, seconds()});
    }
    crew.finish();
    before += from.count();
    report.enlarged += by.enlarged();
  };
  pack_set(*source, conversion, [&](std::int64_t index, std::span<const std::byte> planes) {
    writer.write_images(index, planes);
    if (!pairs) return;
    std::vector<std::byte> input(static_cast<std::size_t>(made.source_bytes()));
    pairs->make(index, planes, input);
    writer.write_sources(index, input);
  });
  if (second)
    pack_set(*second->source, *second->conversion,
             [&](std::int64_t index, std::span<const std::byte> planes) {
               writer.write_sources(second->place(index), planes);
             });
  if (embeddings) write_embeddings(*embeddings, writer);
  if (!captions.empty()) writer.write_captions(0, captions);

  writer.write_labels(source->contents().labels);
  writer.finish();
  for (const std::int64_t label : source->contents().labels) ++report.labels[label];
  report.seconds = seconds();
  return report;
}

}  // namespace ganymede
