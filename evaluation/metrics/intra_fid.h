#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// The mean over classes of the FID between the images of a class on either side (Miyato and Koyama, "cGANs
/// with projection discriminator", 2018). Classes are shared out among the ranks (evaluation/rounds.h); where a
/// class has no more images than features have dimensions, no covariance is formed. Classes that one side has
/// fewer than two images of, and images without label, are left out: details and a warning say which.
Metric intra_fid_metric();

}  // namespace ganymede
