#pragma once

#include <span>

#include "core/manifest.h"
#include "datasets/image_dataset.h"
#include "models/method.h"

namespace ganymede {

/// What a run that follows captions keeps of their vocabulary, so that it needs no dataset to be told some.

/// For a checkpoint's header: the vocabulary of a dataset's tokens; null without.
nlohmann::json vocabulary_of(const ImageDataset& dataset);
/// The same as the checkpoint has it; empty without.
VocabularyText vocabulary_in(const Manifest& manifest);

/// Throws Error(dataset) where networks that the checkpoint is of have been told tokens of another vocabulary than the
/// dataset's: the same numbers stand for other words.
void check_vocabulary(const ImageDataset& dataset, const Manifest& manifest);

/// The captions of a grid of so many columns, a line each: "row 1, column 2: a red square". tokens [N, L].
std::string caption_list(const ImageDataset& dataset, const at::Tensor& tokens, std::int64_t columns);

/// Lets samplers follow `captions`: images 0 to n - 1 the first, and so on. Returns n, for `count` images as few as
/// there is one of each. Throws Error(options) where networks are not told tokens.
std::int64_t follow_captions(SampleOptions& options, const ImageSpec& spec, const Manifest& manifest,
                             const std::vector<std::string>& captions, std::int64_t count);

}  // namespace ganymede
