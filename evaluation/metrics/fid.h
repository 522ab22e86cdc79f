#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Frechet distance of the pool features (FID, Heusel et al. 2017, equation 6), with a standard error by the
/// jackknife over blocks of the scored images where the pass kept blocks; the reference counts as given.
Metric fid_metric();
/// The same of the spatial features: sFID (Nash et al., "Generating images with sparse representations",
/// 2021).
Metric spatial_fid_metric();
/// FID of DINOv2 features (Stein et al., "Exposing flaws of generative model evaluation metrics", 2023).
Metric fd_dinov2_metric();

}  // namespace ganymede
