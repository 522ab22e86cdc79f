#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// The share of images that look copied: nearer to their nearest reference image than that one is to any
/// other (one less the authenticity of Alaa et al., "How faithful is your synthetic data?", ICML 2022,
/// section 3.3). The reference should be the training data. Details list the nearest pairs by index in either
/// set.
Metric memorisation_metric();

}  // namespace ganymede
