#pragma once

#include <ATen/core/Tensor.h>

#include "core/metrics/error_bars.h"

namespace ganymede {

/// Points on paths between latents a and b [N, D] at t [N], float64: the direction goes by spherical interpolation
/// (Shoemake, "Animating rotation with quaternion curves", 1985) at constant speed along the great circle, the length
/// linearly. A network that normalises its latents sees the path of Karras et al. 2019; any other one stays among the
/// lengths that it was trained on. Through t = 0 and 1 go a and b.
at::Tensor on_path(const at::Tensor& a, const at::Tensor& b, const at::Tensor& t);

/// The mean of the values [N] that are no smaller than the 1st percentile and no larger than the 99th, each rounded
/// outwards to a value that there is (as NVIDIA's tools do), and its standard error, of a trimmed mean (Tukey and
/// McLaughlin 1963): the deviation of the values, pulled in to these bounds, over the share kept times sqrt(N).
/// Error(`options`) without values.
Estimate mean_within_percentiles(const at::Tensor& values);

}  // namespace ganymede
