#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "datasets/dataset_writer.h"
#include "datasets/image_pairs.h"
#include "datasets/resize.h"
#include "datasets/value_range.h"

namespace ganymede {

/// What is cut from an image before it is resized: nothing, or all but the largest square around its centre.
enum class Crop { none, center };

struct PackOptions {
  std::filesystem::path source;  ///< folder, zip, tar (also compressed), .npz or HDF5: image_source.h
  std::filesystem::path out;
  std::string subdir = {};                ///< only what lies under it
  std::optional<std::int64_t> size = {};  ///< pixels: every image becomes size x size; none keeps theirs
  std::optional<Crop> crop = {};          ///< default: center with a size, none without
  Filter filter = Filter::lanczos;        ///< for resizing
  std::optional<int> channels = {};       ///< 1 or 3; default: as many as the first image
  std::optional<ValueRange> range = {};   ///< of floating point data; default: its smallest and largest value
  bool pyramid = false;                   ///< smaller copies too: DatasetDescription::pyramid
  PairOptions pairs = {};                 ///< makes the second image set of the images
  /// A second image set, cropped and resized as the images are; none where empty. Not with `pairs`.
  std::filesystem::path sources = {};
  /// `sources` belong to images of the same path without its extension; where neither have names, in order.
  bool paired = false;
  /// .npy [N, E] or [N, K, E] of the N images in the order in which they are packed; none where empty.
  std::filesystem::path embeddings = {};
  /// A text of UTF-8 whose line i is the caption of the i-th image in that order; none where empty.
  std::filesystem::path captions = {};
  bool force = false;  ///< replace `out` if it exists
  int threads = 0;     ///< that decode; 0: one a core
};

struct PackProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
  double seconds = 0;

  double images_per_second() const;
  double seconds_left() const;
};

/// Called by the thread that called pack, twice a second and at the end.
using PackProgressCallback = std::function<void(const PackProgress&)>;

struct PackReport {
  DatasetDescription dataset;
  std::map<std::string, std::int64_t> skipped = {};  ///< files left out, by reason
  std::map<std::int64_t, std::int64_t> labels = {};  ///< images a label; -1 = none
  std::int64_t enlarged = 0;                         ///< images smaller than `size` that were blown up
  double seconds = 0;
};

/// Packs the images of a source into a dataset file, in the source's sorted order (ImageListing), and what
/// comes with them. One thread reads the source from front to back, the others decode, crop, resize and
/// write; what is held in memory does not grow with the source.
///
/// Throws Error(options) for an option out of range or an output that exists; Error(dataset), naming the
/// image and the remedy, for one that cannot be decoded, that differs in shape from the first, that has
/// colours while the first is grey, or that holds values outside the range; Error(storage) if the disk fails.
/// Nothing is left behind then.
PackReport pack(const PackOptions& options, const PackProgressCallback& progress = {});

}  // namespace ganymede
