#pragma once

#include "core/named_tensors.h"

namespace ganymede {

/// Between the latents that a model here diffuses, (z - mean) / deviation of each channel, and what a pipeline of
/// diffusers makes of its own before it decodes them: a division by one "scaling_factor".
struct ScaledFirstStage {
  NamedTensors weights;
  double scaling_factor = 1;
};

/// A first stage (names of models/first_stages/autoencoder.h) that a pipeline gets the same images from: what the
/// factor cannot say goes into the layers beside the latents, so that encoder and decoder speak of z', z = d z' + mean:
///
///     quant_conv         of the mean (. - mean) / d, of the logarithm of the variance . - 2 log d
///     post_quant_conv    W d z' + (b + W mean)
///     codes              less the mean
///
/// d is 1, and the factor 1 / deviation, where all channels' deviations are equal. `mean`,
/// `deviation` [z]. Throws Error(options) where codes are to be the nearest in channels of several scales.
ScaledFirstStage scaled_first_stage(const NamedTensors& weights, const at::Tensor& mean,
                                    const at::Tensor& deviation);

}  // namespace ganymede
