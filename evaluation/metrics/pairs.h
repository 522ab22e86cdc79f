#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// How alike two images are, one figure a pair: a, b uint8 [n, C, H, W] to [n].
using Likeness = std::function<at::Tensor(const at::Tensor& a, const at::Tensor& b)>;

/// The mean of `likeness` over the images and the reference's images of the same places, with the standard error
/// over the pairs: the same at any rank count. Infinite figures are left out and counted in the details
/// ("equal"). Of more than PassOptions::most_images pairs as many are looked at, evenly spread ("pairs").
/// Collective. Throws SharedError(dataset) where every figure is infinite.
Score mean_over_pairs(MetricInput& input, std::string_view name, const Likeness& likeness);

/// What such metrics need: both sets' pixels.
MetricNeeds pairs_needed();

}  // namespace ganymede
