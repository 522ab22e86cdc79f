#pragma once

#include <cstdint>

namespace ganymede {

/// A second image set of a dataset: none is asked for; row i belongs to image i; or rows belong to no image. With `own`
/// none is asked for either: samples are made of the images themselves.
enum class SourceImages { none, paired, unpaired, own };

/// What the images must be for a method's networks, and what must come with them.
struct ImageSpec {
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t classes = 0;  ///< labels are 0 .. classes - 1; 1 also takes images without a label
  SourceImages sources = SourceImages::none;
  std::int64_t source_channels = 0;  ///< of the second image set, as high and wide as the images
  std::int64_t embedding = 0;        ///< numbers of an image's embedding; 0 = not asked for
  bool draws_sources = false;        ///< samples are made of a dataset's images, and are such as its sources
  std::int64_t embedding_rows = 0;  ///< 0: networks are told one embedding; else so many, one after the other
  std::int64_t tokens = 0;          ///< of an image's caption; 0 = not asked for
  std::int64_t vocabulary = 0;      ///< how many tokens there are
};

}  // namespace ganymede
