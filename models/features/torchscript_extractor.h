#pragma once

#include <memory>

#include "models/features/feature_extractor.h"

namespace ganymede {

/// Features by a TorchScript file with NVIDIA's calling convention (stylegan2-ada, stylegan3, EDM):
///
///     forward(img, return_features=False, use_fp16=False, no_output_bias=False)
///
/// img is [N, 3, H, W], 0 to 255, of any size; the program resizes and scales by itself. `pool` is what it
/// returns with return_features=True; `logits` with no_output_bias=True, where forward knows that word. NVIDIA's
/// own file gives probabilities there: their logarithms are logits up to what softmax takes away again.
///
/// The file is a program, and loading it runs it: call this only for a file that the user named. Throws
/// Error(checkpoint) where it cannot be loaded, does not follow the convention, or fails on a black image.
std::unique_ptr<FeatureExtractor> make_torchscript_extractor(const ExtractorOptions& options);

}  // namespace ganymede
