#pragma once

#include "models/layers/normalise.h"

namespace ganymede {

/// Instance normalisation (Ulyanov et al., arXiv 1607.08022) without gain and bias: each channel of each image
///
///     y = activation((x - mean) / sqrt(variance + eps))
///
/// over its positions: batch normalisation of batches of one image, with its passes over memory. x [N, C, H, W], in x's
/// type; sums are float32 or better. A single position becomes 0. Sends nothing.
at::Tensor instance_norm(const at::Tensor& x, Activation activation = Activation::none, double eps = 1e-5);

}  // namespace ganymede
