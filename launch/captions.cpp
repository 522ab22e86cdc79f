#include "launch/captions.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "datasets/schema.h"
#include "datasets/vocabulary.h"

namespace ganymede {

nlohmann::json vocabulary_of(const ImageDataset& dataset) {
  if (!dataset.tokens()) return nullptr;
  return {{"vocab", dataset.vocabulary().vocab}, {"merges", dataset.vocabulary().merges}};
}

VocabularyText vocabulary_in(const Manifest& manifest) {
  const auto kept = manifest.header.find("vocabulary");
  if (kept == manifest.header.end() || !kept->is_object()) return {};
  return {kept->value("vocab", ""), kept->value("merges", "")};
}

void check_vocabulary(const ImageDataset& dataset, const Manifest& manifest) {
  const VocabularyText known = vocabulary_in(manifest);
  if (known.empty() || !dataset.tokens() || dataset.vocabulary() == known) return;
  fail(ExitCode::dataset,
       "{}: its captions are tokens of another vocabulary than the checkpoint's: make them again by ganymede dataset "
       "tokenize --vocabulary and the dataset that the run was trained on",
       dataset.files().front().layout().path);
}

std::string caption_list(const ImageDataset& dataset, const at::Tensor& tokens, std::int64_t columns) {
  const Vocabulary vocabulary = Vocabulary::read(dataset.vocabulary(), "the dataset's vocabulary");
  const at::Tensor rows = tokens.to(at::kInt).contiguous();
  const auto length = static_cast<std::size_t>(rows.size(1));
  std::string text;
  for (std::int64_t i = 0; i < rows.size(0); ++i)
    text += fmt::format("row {}, column {}: {}\n", i / columns + 1, i % columns + 1,
                        vocabulary.decode({rows.const_data_ptr<std::int32_t>() + i * rows.size(1), length}));
  return text;
}

std::int64_t follow_captions(SampleOptions& options, const ImageSpec& spec, const Manifest& manifest,
                             const std::vector<std::string>& captions, std::int64_t count) {
  if (spec.tokens == 0)
    fail(ExitCode::options,
         "--caption: this run's networks are told no captions as tokens (diffusion.text = tokens): leave it "
         "out");
  const VocabularyText text = vocabulary_in(manifest);
  if (text.empty())
    fail(ExitCode::checkpoint,
         "the checkpoint holds no vocabulary: name a dataset with tokens by --conditions");
  const Vocabulary vocabulary = Vocabulary::read(text, "the checkpoint's vocabulary");
  if (std::ssize(captions) > count)
    fail(ExitCode::options, "--count {}: there are {} captions: raise it, or leave some out", count, captions.size());
  std::vector<at::Tensor> rows;
  for (const std::string& caption : captions) {
    if (!is_utf8(caption)) fail(ExitCode::options, "--caption: one is not UTF-8");
    const Vocabulary::Row row = vocabulary.row(caption, spec.tokens);
    if (row.is_cut)
      fail(ExitCode::options,
           "--caption '{}': {} tokens, and the networks are told {} with an end: shorten it", caption,
           vocabulary.encode(caption).size(), spec.tokens);
    rows.push_back(at::tensor(row.tokens, at::kLong));
  }
  const std::int64_t each = (count + std::ssize(captions) - 1) / std::ssize(captions);
  options.tokens = [all = at::stack(rows), each](std::int64_t first, std::int64_t images) {
    const at::Tensor places = at::arange(first, first + images, at::kLong).floor_divide(each);
    return all.index_select(0, places.clamp_max(all.size(0) - 1));
  };
  return each;
}

}  // namespace ganymede
