#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Warps each image of [N, C, S, S], S >= 8, without aliasing (Karras et al., arXiv 2006.06676, appendix B): twice as
/// many pixels through the lowpass filter of the symlet wavelet of 12 taps, bilinear samples at warped places, and down
/// again through the same filter reversed. Both keep the brightness, and the identity leaves images as they are, for the
/// filter is orthogonal to its shifts by two.
///
/// `inverse` [N, 3, 3] takes places (x, y, 1) of the result to those of the image they show, in pixels from the centre,
/// x to the right and y down. Beyond the outermost pixels' centres lies the mirror image. Differentiable in the images,
/// to any order.
at::Tensor warped(const at::Tensor& images, const at::Tensor& inverse);

}  // namespace ganymede
