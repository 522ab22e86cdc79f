#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/philox.h"

namespace ganymede {

/// How alike two images are. a and b are [N, C, H, W] of one shape, uint8 (then `range` is 255) or floating
/// with `range` = highest - lowest possible value (2 for [-1, 1]); results are [N] float64, one an image.
/// Error(`dataset`) if shapes differ.

/// Peak signal-to-noise ratio in dB, 10 log10(range^2 / mean (a - b)^2); infinite for equal images.
at::Tensor psnr(const at::Tensor& a, const at::Tensor& b, double range = 255);

/// Structural similarity (Wang et al., "Image quality assessment: from error visibility to structural
/// similarity", 2004, equation 13 and section III.C): Gaussian window 11 x 11, sigma 1.5, where it fits
/// whole; C_i = (K_i range)^2 with K = 0.01, 0.03; mean over window places and channels. 1 for equal images.
/// Sides shorter than 11 get a window of that side, its sigma shrunk alike. (torchmetrics also counts places
/// where the window hangs over a mirrored border, and differs in the sixth digit or so.)
at::Tensor ssim(const at::Tensor& a, const at::Tensor& b, double range = 255);

/// Over five scales (Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality
/// assessment", 2003, equation 7): the product over scales j of cs_j^w_j, with luminance at the coarsest
/// alone, w = 0.0448, 0.2856, 0.3001, 0.2363, 0.1333. Scales halve by 2 x 2 means; a negative term counts as
/// zero. Images must be at least 16 pixels on a side (Error(`options`)); below 176 windows shrink as above.
at::Tensor ms_ssim(const at::Tensor& a, const at::Tensor& b, double range = 255);

/// [pairs, 2] int64: random pairs of different indices below `count`; pair p depends on `key` and p alone.
/// The mean MS-SSIM over pairs of generated images (of one class) tells how alike they are: lower is more
/// diverse (Odena et al., "Conditional image synthesis with auxiliary classifier GANs", 2017).
at::Tensor draw_pairs(const RandomKey& key, std::int64_t count, std::int64_t pairs);

}  // namespace ganymede
