#pragma once

#include "distributed/communicator.h"
#include "evaluation/image_set.h"

namespace ganymede {

/// The images of a set that lie nearest to others. Legend: n queries, k neighbours, D dimensions.
struct NearestImages {
  at::Tensor indices;    ///< [n, k] int64 in the set, the nearest first; of equal ones the lower index first
  at::Tensor distances;  ///< [n, k] float64, Euclidean
};

/// What is compared of images uint8 [m, C, H, W]: float32 [m, D].
using ComparedFeatures = std::function<at::Tensor(const at::Tensor& images)>;
/// The pixels, 0 to 255.
at::Tensor pixels_as_features(const at::Tensor& images);

/// The k nearest images of `set` to each of `queries` [n, D] float32, which are the same on every rank, as is the
/// result. Ranks share out the set and look at `batch` images at a time, cut alike at any number of ranks; nothing of
/// the set stays. `advance` is told how many of its images a rank has seen. Collective. Throws Error(dataset) on the
/// rank that cannot read an image; needs k images in the set.
NearestImages nearest_images(Communicator& ranks, ImageSet& set, const at::Tensor& queries, std::int64_t k,
                             std::int64_t batch, const ComparedFeatures& features,
                             const std::function<void(std::int64_t done, std::int64_t total)>& advance);

/// The images [n, C, H, W] at `indices` [n] int64, in any order, again and again if need be. Not collective.
at::Tensor read_images(ImageSet& set, const at::Tensor& indices);

}  // namespace ganymede
