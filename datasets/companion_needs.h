#pragma once

#include <cstdint>

namespace ganymede {

/// What batches hold beside images and labels: see Batch. Nothing by default.
struct CompanionNeeds {
  enum class Sources { none, paired, unpaired };
  Sources sources = Sources::none;
  std::int64_t source_channels = 0;  ///< of the second image set, as high and wide as the images
  std::int64_t embedding = 0;        ///< numbers of an image's embedding; 0 = not asked for
  bool other_embeddings = false;     ///< those of other images of the micro-batch too
  /// Of an image's K embeddings: so many, all of which come; up to 1: any number, one of which is drawn.
  std::int64_t embedding_rows = 0;
  std::int64_t tokens = 0;      ///< of an image's caption; 0 = not asked for
  std::int64_t vocabulary = 0;  ///< how many tokens there are

  bool any() const { return sources != Sources::none || embedding > 0 || tokens > 0; }
};

}  // namespace ganymede
