#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// "bpd": the mean over the reference's images of their bits a dimension by the model that is scored
/// (models/likelihood.h), with the standard error of the mean over images. Noise is drawn by the
/// sampler's seed and the image's position.
Metric bits_per_dimension_metric();

}  // namespace ganymede
