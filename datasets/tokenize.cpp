#include "datasets/tokenize.h"

#include <ATen/ATen.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "datasets/dataset_writer.h"
#include "datasets/describe_file.h"
#include "datasets/guarded_process.h"
#include "datasets/hdf5_file.h"
#include "datasets/image_dataset.h"
#include "datasets/schema.h"
#include "datasets/text_companions.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

std::string captions_in(const fs::path& path, std::int64_t images) {
  const auto refuse = [&](const std::string& what) {
    fail(ExitCode::dataset, "{}: {}", path.string(), what);
  };
  const Hdf5File file = Hdf5File::open(path);
  if (!file.contains("/captions"))
    refuse(
        "no captions (/captions); expected UTF-8 strings [N], one for each image (h5py: f['captions'] = list "
        "of str)");
  const Hdf5Array array = file.describe("/captions");
  if (array.type != "text" || array.shape.size() != 1 || array.shape[0] != images)
    refuse(fmt::format("/captions holds {} of shape [{}]; expected UTF-8 strings [{}], one for each image",
                       array.type, fmt::join(array.shape, ", "), images));
  const std::vector<std::string> captions = file.read_texts("/captions");
  for (std::size_t i = 0; i < captions.size(); ++i)
    if (!is_utf8(captions[i]))
      refuse(fmt::format("/captions: that of image {} is not UTF-8: save it again", i));
  return nlohmann::json(captions).dump();
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !is_utf8(text.str()))
    fail(ExitCode::dataset,
         "{}: {}; expected a vocabulary's file, as GPT-2 has it: vocab.json and merges.txt", path.string(),
         file ? "not UTF-8" : "cannot be read");
  return text.str();
}

Vocabulary vocabulary_of(const TokenizeOptions& options, const std::vector<std::string>& captions) {
  const fs::path& from = options.vocabulary;
  if (from.empty()) return Vocabulary::train(captions, options.size);
  std::error_code unknown;  // what cannot be looked at cannot be read either
  if (!fs::is_regular_file(from, unknown))
    return Vocabulary::read({text_of(from / "vocab.json"), text_of(from / "merges.txt")}, from.string());
  const ImageDataset dataset = ImageDataset::attach(ImageDataset::inspect({from}));
  if (!dataset.tokens())
    fail(ExitCode::dataset, "{}: no tokens (/tokens); expected a dataset that has been tokenized, or a vocabulary's folder",
         from.string());
  return Vocabulary::read(dataset.vocabulary(), from.string());
}

DatasetDescription description_of(const ImageDataset& images, const FileNotes& notes) {
  DatasetDescription made{.type = images.type(),
                          .count = images.size(),
                          .channels = images.channels(),
                          .height = images.height(),
                          .width = images.width(),
                          .low = images.low(),
                          .high = images.high(),
                          .class_names = images.class_names(),
                          .provenance = notes.provenance,
                          .pyramid = !images.levels().empty()};
  made.provenance.erase("uuid");
  if (const ImageDataset* sources = images.sources())
    made.sources = {sources->size(), sources->channels(), images.has_paired_sources()};
  describe_text(images, made);
  return made;
}

void copy_images(const ImageDataset& from,
                 const std::function<void(std::int64_t, std::span<const std::byte>)>& write) {
  std::vector<std::byte> image(static_cast<std::size_t>(from.image_bytes()));
  for (std::int64_t i = 0; i < from.size(); ++i) {
    from.verify_block_of(i);
    from.read(i, image);
    write(i, image);
  }
}

}  // namespace

TokenizeReport tokenize(const TokenizeOptions& options,
                        const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const std::string layout = ImageDataset::inspect({options.data});
  const ImageDataset images = ImageDataset::attach(layout);
  const auto captions = nlohmann::json::parse(run_guarded(options.data.string(), {}, [&] {
                          return captions_in(options.data, images.size());
                        })).get<std::vector<std::string>>();
  const Vocabulary vocabulary = vocabulary_of(options, captions);
  TokenizeReport report{.images = images.size(), .vocabulary = vocabulary.size()};
  for (const std::string& caption : captions)
    report.longest = std::max(report.longest, std::ssize(vocabulary.encode(caption)) + 1);
  report.length = options.length > 0 ? options.length : report.longest;
  if (report.length > schema::most_tokens)
    fail(ExitCode::dataset, "{}: a caption of {} tokens; expected at most {}: give --length",
         options.data.string(), report.length, schema::most_tokens);

  DatasetDescription made = description_of(images, describe_file(layout_from_json(layout)));
  made.tokens = {report.length, vocabulary.text()};
  for (const std::string& caption : captions)
    made.caption_bytes = std::max({made.caption_bytes, std::ssize(caption), std::int64_t{1}});
  DatasetWriter writer(options.out, made);
  copy_images(images, [&](std::int64_t index, std::span<const std::byte> image) {
    writer.write_images(index, image);
    if (progress && (index % 256 == 255 || index + 1 == images.size())) progress(index + 1, images.size());
  });
  if (images.sources())
    copy_images(*images.sources(), [&](std::int64_t index, std::span<const std::byte> image) {
      writer.write_sources(index, image);
    });
  copy_embeddings(images, writer);
  for (std::int64_t i = 0; i < images.size(); ++i) {
    const std::string& caption = captions[static_cast<std::size_t>(i)];
    const Vocabulary::Row row = vocabulary.row(caption, report.length);
    report.cut += row.is_cut ? 1 : 0;
    writer.write_tokens(i, row.tokens);
    writer.write_captions(i, {&caption, 1});
  }
  writer.write_labels(images.labels());
  writer.finish();
  return report;
}

}  // namespace ganymede
