#pragma once

#include <ATen/core/Tensor.h>

#include "core/philox.h"

namespace ganymede {

/// Changes of training images that do not leak into samples, for the network is told them (Karras et al., arXiv
/// 2206.00364, appendix F.2, table 6). Each with probability p, in this order, with n of N(0, 1):
///
///     mirrored left to right: half of all images, whatever p is; upside down: half of those that draw it
///     scaled by 2^(n / 5); turned by any angle; stretched by 2^(|n| / 5) along any direction, and shrunk as much across it
///     moved by n / 8 of the side to the right, and as far, by a draw of its own, down
///
/// figures [N, 9] are what the network is told: 1 where an image is mirrored, where it is upside down; n of the scale;
/// cosine - 1 and sine of the turn; |n| of the stretch times its direction's cosine and sine; n of the moves. Zeros say
/// that an image is as it was. (With n in the place of |n|, as the paper has it, the changes are as likely, for a direction
/// is as likely as the one across it; but a stretch and a shrinking would be told alike. The authors' program also
/// leaves half of the directions at 0.)
struct Augmented {
  at::Tensor images, figures;
};
inline constexpr std::int64_t augmentation_figures = 9;

/// images [N, C, S, S], S >= 8: what is done to one depends on the key and its position in the global batch, first, ...,
/// alone.
Augmented augmented(const at::Tensor& images, double p, const RandomKey& key, std::int64_t first);
/// Images changed as the figures [N, 9], of their type and on their device, say.
at::Tensor augmented_by(const at::Tensor& images, const at::Tensor& figures);

}  // namespace ganymede
