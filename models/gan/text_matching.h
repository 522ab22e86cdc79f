#pragma once

#include "core/options.h"
#include "models/image_spec.h"

namespace ganymede {

/// What adversarial training does beside its own where networks follow a text, given as an embedding h of each image
/// (Reed et al., "Generative adversarial text to image synthesis", arXiv 1605.05396). G draws from the embeddings of the
/// last batch that D has learned from, as in their algorithm 1.
struct TextMatchingOptions {
  /// GAN-CLS, algorithm 1: D judges a third pair, a real image with the embedding h' of another image, and
  ///
  ///     L_D = log s(x, h) + (log(1 - s(x, h')) + log(1 - s(G(z, h), h))) / 2.
  ///
  /// Of any loss of pairs of real and fake logits: (L(x h, G h) + L(x h, x h')) / 2, which is the same.
  bool matching_aware = true;
  /// GAN-INT, equation 5: beta of a further term of G's loss, for beta h + (1 - beta) h'; 0 without.
  double interpolation = 0;

  void describe(OptionSchema& schema);
  /// Throws Error(options) where they ask what networks of these images, or so small micro-batches, cannot do.
  void check(const ImageSpec& images, std::int64_t micro_batch) const;
  bool matches(const ImageSpec& images) const { return images.embedding > 0 && matching_aware; }
};

}  // namespace ganymede
