#pragma once

#include "models/features/known_weights.h"

namespace ganymede {

/// Inception-v3 as a FeatureExtractor: pool, spatial and logits. Without --resize, files with torchvision's
/// names are used as pytorch-fid does (`pytorch`), those with NVIDIA's as NVIDIA does (`tf1`). Pixels are
/// scaled as each resize's tool does: 2 x / 255 - 1 with `pytorch` and `none`, else (x - 128) / 128.
/// torchvision's own file, of 1,000 ImageNet classes and trained by others, is taken with a caveat.
KnownWeights inception_torchvision();
KnownWeights inception_nvidia();

}  // namespace ganymede
