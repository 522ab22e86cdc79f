#pragma once

#include <map>
#include <optional>

#include "evaluation/manifold.h"

namespace ganymede {

/// What several metrics ask of the neighbours of two sets of features: each search is made once, when first asked
/// for. Every method is collective, and answers for this rank's rows, n of the images and m of the reference.
class Neighbourhoods {
 public:
  /// `most`: neighbours that some metric may ask for; a search for fewer finds as many, which costs the same.
  Neighbourhoods(Communicator& ranks, const ImageFeatures& images, const ImageFeatures& reference,
                 std::int64_t most);

  const ShardedRows& images() const { return images_; }
  const ShardedRows& reference() const { return reference_; }

  /// [m] float64: squared distance of each reference image to its k-th neighbour in the reference.
  at::Tensor reference_radii(std::int64_t k) { return radii(reference_, reference_squared_, k); }
  /// In how many balls of reference_radii(k) each image lies.
  const BallCounts& images_in_reference(std::int64_t k);
  /// In how many balls of the images, by their k-th neighbour among themselves, each reference image lies.
  const BallCounts& reference_in_images(std::int64_t k);
  /// [m] float64: squared distance of each reference image to the nearest image.
  at::Tensor squared_to_images();
  /// The nearest reference image of each image.
  const NearestRows& nearest_reference();

 private:
  at::Tensor radii(const ShardedRows& rows, at::Tensor& squared, std::int64_t k) const;

  ShardedRows images_, reference_;
  std::int64_t most_;
  at::Tensor images_squared_, reference_squared_;  ///< [n, >= k], [m, >= k] once found
  std::map<std::int64_t, BallCounts> images_in_, reference_in_;
  at::Tensor squared_to_images_;
  std::optional<NearestRows> nearest_reference_;
};

}  // namespace ganymede
