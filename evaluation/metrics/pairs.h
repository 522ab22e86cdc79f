#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// How alike two images are, one figure a pair: a, b uint8 [n, C, H, W] to [n].
using Likeness = std::function<at::Tensor(const at::Tensor& a, const at::Tensor& b)>;

constexpr std::int64_t most_pairs = 8192;

/// The mean of `likeness` over the images and the reference's images of the same places, with the standard error
/// over the pairs: the same at any rank count. Infinite figures are left out and counted in the details
/// ("equal"). Of more pairs than most_pairs, or than PassOptions::most_pixel_bytes has room for, as many are
/// looked at, chosen at random ("pairs"), and a warning says so. Collective. Throws SharedError(dataset) where every figure is infinite.
Score mean_over_pairs(MetricInput& input, std::string_view name, const Likeness& likeness);

/// What such metrics need: both sets' pixels.
MetricNeeds pairs_needed();

}  // namespace ganymede
