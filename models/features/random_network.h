#pragma once

#include <memory>

#include "models/features/feature_extractor.h"

namespace ganymede {

/// Features for runs with no weights at hand: a convolutional network that was never trained, the same on
/// every machine. Four levels of 3x3 convolutions of stride 2 and ReLU see the image at 64x64:
///
///     32 channels at 32x32, 64 at 16x16, 96 at 8x8, 80 at 4x4
///
/// and the features are the mean of each channel of the first three over the image and of the last over each
/// quadrant: 32 + 64 + 96 + 4 * 80 = 512. Weights are uniform of He's variance (arXiv 1502.01852), from Philox
/// in exact arithmetic; beyond the first level each filter is shifted to mean zero, without which random
/// layers answer ever less to what differs between images. Biases are small and random.
///
/// Its Fréchet distance grows with noise, blur and missing classes, and compares runs with one another; the
/// numbers mean nothing beside those of a trained network, and `caveat` says so. It has no classes.
std::unique_ptr<FeatureExtractor> make_random_network(const ExtractorOptions& options);

}  // namespace ganymede
