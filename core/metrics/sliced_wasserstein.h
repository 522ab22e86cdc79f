#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/philox.h"

namespace ganymede {

/// Sliced Wasserstein distance between the local structure of two sets of images, level by level (Karras et
/// al., "Progressive growing of GANs", 2018, section 5; the slices: Rabin et al. 2012): 128 patches of 7 x 7
/// from each image's Laplacian pyramid, standardised per channel over the whole set, projected on 512
/// directions, sorted, and compared. The steps, for callers who share images among ranks:
///
///     levels  = laplacian_pyramid(images)                                   each rank its images
///     patches = draw_patches(levels[l], l, key, indices)                      "
///     all-reduce channel_sums(patches), then standardise(patches, sums)
///     project on directions(...), a column of all ranks' values at a time: sorted_distance
///
/// The published figures are the distance times 1,000, of 16,384 images.

/// images [N, C, H, W], sides equal and a power of two of at least 16, uint8 or float. Levels of side H, H/2,
/// ..., 16 in float32: each less what the next coarser one shows of it, the last the low-pass image itself
/// (Burt and Adelson 1983; the binomial 5 x 5 filter, mirrored at the border). Error(`options`) for other
/// sides.
std::vector<at::Tensor> laplacian_pyramid(const at::Tensor& images);

/// The finest level of images [N, C, H, W], H > 16, and the images of half the side that the others come of: for
/// callers who cannot hold all levels of all images at once.
struct PyramidStep {
  at::Tensor level;    ///< [N, C, H, W]
  at::Tensor coarser;  ///< [N, C, H / 2, W / 2]
};
PyramidStep pyramid_step(const at::Tensor& images);

constexpr std::int64_t patches_per_image = 128;
constexpr std::int64_t patch_side = 7;
constexpr std::int64_t slice_count = 512;

/// [128 N, C, 49] float32 from a level [N, C, h, w] >= 7 pixels; where image i is cut depends on `key` (its
/// layer is taken for the level), and indices[i] alone.
at::Tensor draw_patches(const at::Tensor& level, std::int64_t level_index, const RandomKey& key,
                        const at::Tensor& indices);

/// [C, 3] float64: count, sum and sum of squares for each channel. Sums of ranks add up.
at::Tensor channel_sums(const at::Tensor& patches);
/// In place: each channel less its mean, over its deviation. Returns patches as descriptors [128 N, 49 C].
at::Tensor standardise(at::Tensor patches, const at::Tensor& sums);

/// [width, 512] float32: unit vectors, uniform on the sphere, a function of `key`.
at::Tensor slice_directions(const RandomKey& key, std::int64_t width);

/// Mean |a_(i) - b_(i)| over the order statistics of each column of a and b [n, K]: [K] float64.
/// Error(`options`) if the counts differ.
at::Tensor sorted_distance(const at::Tensor& a, const at::Tensor& b);

/// The distance of each level, from full size down to 16, and their mean: all steps, on one rank. As many
/// fakes as reals.
struct SlicedWasserstein {
  std::vector<double> levels;
  double mean = 0;
};
SlicedWasserstein sliced_wasserstein(const at::Tensor& reals, const at::Tensor& fakes, const RandomKey& key);

}  // namespace ganymede
