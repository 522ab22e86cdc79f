#include "datasets/companions.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "datasets/loader.h"

namespace ganymede {
namespace {

using Sources = CompanionNeeds::Sources;

/// One image as [C, H, W] of memory [H, W, C].
void read_source(const ImageDataset& sources, std::int64_t index, bool flip, std::vector<std::byte>& stored,
                 at::ScalarType dtype, void* out) {
  stored.resize(static_cast<std::size_t>(sources.image_bytes()));
  sources.verify_block_of(index);
  sources.read(index, stored);
  PixelValues(sources.type(), sources.low(), sources.high())
      .convert(stored, sources.channels(), sources.height(), sources.width(), flip, dtype, out);
}

/// Embeddings `caption`, caption + 1, ... of an image as E floats each.
void read_embedding(const ImageDataset& embeddings, std::int64_t index, std::int64_t caption,
                    std::vector<std::byte>& stored, float* out, std::int64_t captions = 1) {
  stored.resize(static_cast<std::size_t>(embeddings.image_bytes()));
  embeddings.verify_block_of(index);
  embeddings.read(index, stored);
  const PixelValues values(embeddings.type(), embeddings.low(), embeddings.high());
  const std::int64_t width = embeddings.width();
  for (std::int64_t i = 0; i < captions * width; ++i)
    out[i] = static_cast<float>(values.value(stored, caption * width + i));
  if (const std::int64_t bad = values.first_bad(stored); bad >= 0)
    fail(ExitCode::dataset, "{} holds {}; expected finite numbers within float32: mend the embeddings",
         embeddings.where(index), values.value(stored, bad));
}

/// An image's L tokens.
void read_caption(const ImageDataset& tokens, std::int64_t index, std::vector<std::byte>& stored,
                  std::int64_t* out) {
  stored.resize(static_cast<std::size_t>(tokens.image_bytes()));
  tokens.verify_block_of(index);
  tokens.read(index, stored);
  const PixelValues values(tokens.type(), tokens.low(), tokens.high());
  if (const std::int64_t bad = values.first_bad(stored); bad >= 0)
    fail(ExitCode::dataset, "{} holds {}; expected tokens of 0 to {}: run ganymede dataset tokenize anew",
         tokens.where(index), values.value(stored, bad), tokens.high());
  for (std::int64_t i = 0; i < tokens.width(); ++i)
    out[i] = static_cast<std::int64_t>(values.value(stored, i));
}

at::Tensor source_memory(const ImageDataset& sources, std::int64_t count, at::ScalarType dtype) {
  return at::empty({count, sources.channels(), sources.height(), sources.width()},
                   at::TensorOptions(dtype).memory_format(at::MemoryFormat::ChannelsLast));
}

/// Of row `row`.
void* place_in(const at::Tensor& rows, std::int64_t row) {
  const std::size_t bytes = rows.nbytes() / static_cast<std::size_t>(std::max<std::int64_t>(1, rows.size(0)));
  return static_cast<std::byte*>(rows.data_ptr()) + static_cast<std::size_t>(row) * bytes;
}

}  // namespace

namespace {

void check_tokens(const ImageDataset& dataset, const CompanionNeeds& needs, const std::string& where) {
  const ImageDataset* tokens = dataset.tokens();
  if (!tokens)
    fail(ExitCode::dataset,
         "{}: no tokens (/tokens), and the networks are told each image's caption: make them by ganymede "
         "dataset tokenize",
         where);
  const auto expect = [&](const char* what, std::int64_t found, std::int64_t expected, const char* option) {
    if (found != expected)
      fail(ExitCode::dataset, "{}: {} of {}, the networks expect {}: set {} = {}, or tokenize it anew", where,
           what, found, expected, option, found);
  };
  expect("captions as tokens", tokens->width(), needs.tokens, "text.length");
  expect("a vocabulary", static_cast<std::int64_t>(tokens->high()) + 1, needs.vocabulary, "text.vocabulary");
}

}  // namespace

void check_companions(const ImageDataset& dataset, const CompanionNeeds& needs) {
  const std::string& where = dataset.files().front().layout().path;
  if (const ImageDataset* sources = dataset.sources(); needs.sources != Sources::none) {
    if (!sources)
      fail(ExitCode::dataset,
           "{}: no second image set (/sources), and the method translates one: pack it with --sources or "
           "--pairs",
           where);
    if (needs.sources == Sources::paired && !dataset.has_paired_sources())
      fail(ExitCode::dataset,
           "{}: the {} sources are not paired with the {} images, and the method learns from pairs: "
           "pack "
           "them with --paired, or choose a method for unpaired sets",
           where, sources->size(), dataset.size());
    if (sources->channels() != needs.source_channels)
      fail(ExitCode::dataset,
           "{}: the sources have {} channels, the networks expect {}: pack others, or set the networks' "
           "source channels",
           where, sources->channels(), needs.source_channels);
  }
  if (needs.tokens > 0) check_tokens(dataset, needs, where);
  if (needs.embedding == 0) return;
  const ImageDataset* embeddings = dataset.embeddings();
  if (!embeddings)
    fail(ExitCode::dataset,
         "{}: no embeddings (/embeddings), and the networks are told one for each image: pack it with "
         "--embeddings",
         where);
  if (embeddings->width() != needs.embedding)
    fail(ExitCode::dataset,
         "{}: the embeddings have {} numbers, the networks expect {}: pack others, or set "
         "text.embedding",
         where, embeddings->width(), needs.embedding);
  if (needs.embedding_rows > 1 && embeddings->height() != needs.embedding_rows)
    fail(ExitCode::dataset,
         "{}: {} embeddings an image, the networks expect {}: pack others, or set text.places", where,
         embeddings->height(), needs.embedding_rows);
}

at::Tensor read_sources(const ImageDataset& sources, std::int64_t first, std::int64_t count) {
  const at::Tensor rows = source_memory(sources, count, at::kFloat);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < count; ++i)
    read_source(sources, (first + i) % sources.size(), false, stored, at::kFloat, place_in(rows, i));
  return rows;
}

at::Tensor read_embeddings(const ImageDataset& embeddings, std::int64_t first, std::int64_t count) {
  const at::Tensor rows = at::empty({count, embeddings.width()}, at::kFloat);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < count; ++i)
    read_embedding(embeddings, (first + i) % embeddings.size(),
                   (first + i) / embeddings.size() % embeddings.height(), stored,
                   static_cast<float*>(place_in(rows, i)));
  return rows;
}

at::Tensor read_all_embeddings(const ImageDataset& embeddings, std::int64_t first, std::int64_t count) {
  const std::int64_t captions = embeddings.height();
  const at::Tensor rows = at::empty({count, captions, embeddings.width()}, at::kFloat);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < count; ++i)
    read_embedding(embeddings, (first + i) % embeddings.size(), 0, stored,
                   static_cast<float*>(place_in(rows, i)), captions);
  return rows;
}

at::Tensor read_tokens(const ImageDataset& tokens, std::int64_t first, std::int64_t count) {
  const at::Tensor rows = at::empty({count, tokens.width()}, at::kLong);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < count; ++i)
    read_caption(tokens, (first + i) % tokens.size(), stored, static_cast<std::int64_t*>(place_in(rows, i)));
  return rows;
}

Companions::Companions(const ImageDataset& dataset, const SampleOrder& order, const Setting& setting)
    : dataset_(dataset),
      order_(order),
      setting_(setting),
      flips_({.seed = setting.seed,
              .reseed = setting.reseed,
              .phase = "data",
              .stream = setting.needs.sources == Sources::unpaired ? "source flip" : "flip"}),
      captions_({.seed = setting.seed, .reseed = setting.reseed, .phase = "data", .stream = "caption"}),
      other_captions_(
          {.seed = setting.seed, .reseed = setting.reseed, .phase = "data", .stream = "other caption"}) {
  check_companions(dataset, setting.needs);
  if (const ImageDataset* sources = dataset.sources(); setting.needs.sources != Sources::none) {
    if (setting.needs.sources == Sources::unpaired)
      own_order_.emplace(sources->size(), setting.seed, Loader::order_options(*sources), "source order");
    readahead_.emplace(*sources, own_order_ ? *own_order_ : order_);
  }
  if (setting.needs.embedding > 0) embedding_readahead_.emplace(*dataset.embeddings(), order_);
  if (setting.needs.tokens > 0) token_readahead_.emplace(*dataset.tokens(), order_);
}

Companions::Rows Companions::take(std::int64_t position, std::span<const SampleOrder::Place> all,
                                  std::span<const std::int64_t> samples) {
  const auto own = [&](std::span<const SampleOrder::Place> places) {
    return places.subspan(static_cast<std::size_t>(setting_.share.first),
                          static_cast<std::size_t>(setting_.share.count));
  };
  const std::vector<std::int64_t> images(samples.begin(), samples.end());
  Rows rows;
  if (own_order_) {
    const auto places = own_order_->places(position, setting_.micro_batch);
    readahead_->follow(own(places));
    rows.sources = own_order_->samples_at(own(places));
  } else if (readahead_) {
    readahead_->follow(own(all));
    rows.sources = images;
  }
  if (token_readahead_) {
    token_readahead_->follow(own(all));
    rows.tokens = images;
  }
  if (!embedding_readahead_) return rows;
  embedding_readahead_->follow(own(all));
  rows.embeddings = images;
  if (!setting_.needs.other_embeddings) return rows;
  std::vector<SampleOrder::Place> others(all.begin(), all.end());
  std::rotate(others.begin(), others.begin() + setting_.micro_batch / 2, others.end());
  rows.others = order_.samples_at(own(others));
  return rows;
}

void Companions::load(const Rows& rows, Batch& batch) const {
  const std::int64_t first = batch.position + setting_.share.first;
  if (readahead_) batch.sources = load_sources(rows.sources, first);
  if (embedding_readahead_) batch.embeddings = load_embeddings(rows.embeddings, first, captions_);
  if (setting_.needs.other_embeddings)
    batch.other_embeddings = load_embeddings(rows.others, first, other_captions_);
  if (!token_readahead_) return;
  const ImageDataset& tokens = *dataset_.tokens();
  batch.tokens = at::empty({std::ssize(rows.tokens), tokens.width()}, at::kLong);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < std::ssize(rows.tokens); ++i)
    read_caption(tokens, rows.tokens[static_cast<std::size_t>(i)], stored,
                 static_cast<std::int64_t*>(place_in(batch.tokens, i)));
}

at::Tensor Companions::load_sources(const std::vector<std::int64_t>& rows, std::int64_t position) const {
  const at::Tensor images = source_memory(*dataset_.sources(), std::ssize(rows), setting_.dtype);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < std::ssize(rows); ++i) {
    const bool flip = setting_.flip && flips_.bits(static_cast<std::uint64_t>(position + i), 0) >> 63;
    read_source(*dataset_.sources(), rows[static_cast<std::size_t>(i)], flip, stored, setting_.dtype,
                place_in(images, i));
  }
  return images;
}

at::Tensor Companions::load_embeddings(const std::vector<std::int64_t>& rows, std::int64_t position,
                                       const RandomStream& captions) const {
  const ImageDataset& embeddings = *dataset_.embeddings();
  const bool all = setting_.needs.embedding_rows > 1;
  const at::Tensor result =
      all ? at::empty({std::ssize(rows), embeddings.height(), embeddings.width()}, at::kFloat)
          : at::empty({std::ssize(rows), embeddings.width()}, at::kFloat);
  std::vector<std::byte> stored;
  for (std::int64_t i = 0; i < std::ssize(rows); ++i) {
    if (all) {
      read_embedding(embeddings, rows[static_cast<std::size_t>(i)], 0, stored,
                     static_cast<float*>(place_in(result, i)), embeddings.height());
      continue;
    }
    const auto caption =
        static_cast<std::int64_t>(captions.bits(static_cast<std::uint64_t>(position + i), 0) %
                                  static_cast<std::uint64_t>(embeddings.height()));
    read_embedding(embeddings, rows[static_cast<std::size_t>(i)], caption, stored,
                   static_cast<float*>(place_in(result, i)));
  }
  return result;
}

}  // namespace ganymede
