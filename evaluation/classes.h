#pragma once

#include <vector>

#include "evaluation/image_set.h"

namespace ganymede {

/// The classes that scores per class are taken of, and what they leave out.
struct CommonClasses {
  std::vector<std::int64_t> scored;    ///< with two images or more on either side, ascending
  std::vector<std::int64_t> left_out;  ///< the others that any image has
  std::int64_t images = 0;     ///< of the scored set that are in none of the scored classes, or have no label
  std::int64_t reference = 0;  ///< the same of the reference
  std::int64_t fewest = 0;     ///< images of a scored class on either side

  /// "2 classes with fewer than two images on a side (1, 7), ...": empty where nothing is left out.
  std::string omission() const;
};

/// Of labels [N] and [M] int64, -1 for none.
CommonClasses common_classes(const at::Tensor& images, const at::Tensor& reference);

}  // namespace ganymede
