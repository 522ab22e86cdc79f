#pragma once

#include <chrono>
#include <cstdint>

#include "datasets/image_dataset.h"

namespace ganymede {

/// How fast training could read a dataset.
struct ReadingRate {
  /// One thread, in training order, as far as the files are in the page cache now.
  double images_per_second = 0;
  /// One thread, decoding each image once; 0 where images are stored as they are.
  double decoded_per_second = 0;
  /// Decoded images to which training order returns, over all ranks. Where a rank's part of them is more than
  /// the dataset's cache, each image costs the decoding of all its neighbours: `images_per_second` says so
  /// for one rank.
  std::int64_t held_bytes = 0;
};

/// Measures a sample of the dataset, for about `time` and at least for one read.
ReadingRate predict_reading(const ImageDataset& dataset,
                            std::chrono::milliseconds time = std::chrono::milliseconds(200));

}  // namespace ganymede
