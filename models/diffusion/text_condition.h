#pragma once

#include <torch/nn/module.h>

#include "core/options.h"
#include "models/image_spec.h"

namespace ganymede {

class TextEncoder;

/// How a denoiser is told what an image's caption says, as a context [N, T, width] that it attends to: what a text
/// encoder makes of the caption's tokens, learned together with the denoiser, or embeddings from the dataset, of any
/// encoder.
struct TextOptions {
  enum class Source { none, tokens, embeddings };
  Source source = Source::none;  ///< "diffusion.text", which decides which of the others there are
  /// Of tokens.
  std::int64_t vocabulary = 512, length = 32, width = 256, depth = 4, heads = 4;
  /// Of embeddings: numbers of each, and how many an image has; where that is 1, one of any number is drawn.
  std::int64_t embedding = 768, places = 1;
  /// An image is shown without its caption, for guidance: see DenoisingMethod.
  double dropout = 0.1;

  void describe(OptionSchema& schema);
  /// Throws Error(options).
  void check() const;
  /// What a dataset must have.
  void ask_for(ImageSpec& images) const;
  bool is_told() const { return source != Source::none; }
  bool is_left_out() const { return is_told() && dropout > 0; }
  /// Numbers of a context's token.
  std::int64_t context_width() const { return source == Source::tokens ? width : embedding; }
};

/// The names of TextOptions::Source.
std::vector<std::string> text_sources();
/// Throws Error(options) that lists the names.
TextOptions::Source text_source_named(const std::string& name);

/// The captions of a batch.
struct TextCondition {
  at::Tensor rows =
      {};  ///< tokens int64 [N, L], or embeddings [N, E] or [N, T, E]; undefined where there are none
  at::Tensor without = {};  ///< bool [N]: images that are to be done without theirs; undefined: none
};

/// Makes the context of captions. Images without theirs have a learned token "without" [width] in each place, which
/// there is where options.dropout > 0.
class TextContext : public torch::nn::Module {
 public:
  explicit TextContext(const TextOptions& options);
  /// [N, T, width] of type `maps`. Throws TORCH_CHECK where there are no captions.
  at::Tensor forward(const TextCondition& text, at::ScalarType maps);
  /// Draws weights from N(0, 0.02^2) by (seed, name).
  void initialise(std::uint64_t seed);

 private:
  std::shared_ptr<TextEncoder> encoder_;  // null: rows are embeddings
  at::Tensor without_;
};

}  // namespace ganymede
