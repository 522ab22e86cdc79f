#include "models/diffusion/text_condition.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "models/diffusion/text_encoder.h"
#include "models/layers/initialise.h"

namespace ganymede {

std::vector<std::string> text_sources() {
  return {"none", "tokens", "embeddings"};
}

TextOptions::Source text_source_named(const std::string& name) {
  const auto names = text_sources();
  const auto found = std::ranges::find(names, name);
  if (found == names.end())
    fail(ExitCode::options, "diffusion.text = '{}' is not known: give one of {}", name,
         fmt::join(names, ", "));
  return static_cast<TextOptions::Source>(found - names.begin());
}

void TextOptions::describe(OptionSchema& schema) {
  if (!is_told()) return;
  if (source == Source::tokens) {
    schema.add("text.vocabulary", vocabulary, "", {257, 1e7}, "tokens that the dataset's vocabulary has");
    schema.add("text.length", length, "", {1, 65536}, "tokens of a caption, as in the dataset");
    schema.add("text.width", width, "", {1, 65536}, "width of the text encoder");
    schema.add("text.depth", depth, "", {0, 1024}, "its layers");
    schema.add("text.heads", heads, "", {1, 1024}, "its attention heads");
  } else {
    schema.add("text.embedding", embedding, "", {1, 1e6}, "numbers of an embedding, as in the dataset");
    schema.add("text.places", places, "", {1, 65536},
               "embeddings of an image that are seen together; 1: one, drawn of those that it has");
  }
  schema.add("text.dropout", dropout, "", {0, 1},
             "probability that an image is shown without its caption, for guidance");
}

void TextOptions::check() const {
  if (source == Source::tokens && width % heads != 0)
    fail(ExitCode::options, "text.width = {} is not a multiple of text.heads = {}", width, heads);
}

void TextOptions::ask_for(ImageSpec& images) const {
  if (source == Source::tokens) {
    images.tokens = length;
    images.vocabulary = vocabulary;
  } else if (source == Source::embeddings) {
    images.embedding = embedding;
    images.embedding_rows = places;
  }
}

TextContext::TextContext(const TextOptions& options) {
  if (options.source == TextOptions::Source::tokens)
    encoder_ = register_module(
        "encoder", std::make_shared<TextEncoder>(TextEncoder::Size{
                       options.vocabulary, options.length, options.width, options.depth, options.heads}));
  if (options.is_left_out()) without_ = register_parameter("without", at::zeros({options.context_width()}));
}

at::Tensor TextContext::forward(const TextCondition& text, at::ScalarType maps) {
  TORCH_CHECK(text.rows.defined(), "TextContext: no captions");
  at::Tensor context = encoder_ ? encoder_->forward(text.rows, maps) : text.rows.to(maps);
  if (context.dim() == 2) context = context.unsqueeze(1);
  if (!text.without.defined()) return context;
  TORCH_CHECK(without_.defined(), "TextContext: nothing was learned without captions");
  return at::where(text.without.view({-1, 1, 1}), without_.to(maps), context);
}

void TextContext::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "n02", seed);
}

}  // namespace ganymede
