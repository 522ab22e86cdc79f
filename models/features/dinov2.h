#pragma once

#include "models/features/known_weights.h"

namespace ganymede {

/// DINOv2's vision transformers (Oquab et al., arXiv 2304.07193): ViT-S, B, L and g with patches of 14, with or
/// without registers (arXiv 2309.16588), from checkpoints with the names of facebookresearch/dinov2.
/// Other widths and depths with those names work too, with a caveat.
///
///     tokens  = [class; registers; patches of 14x14] + position
///     x      <- x + gamma_1 * attention(norm(x))         gamma: LayerScale
///     x      <- x + gamma_2 * mlp(norm(x))               mlp: GELU; SwiGLU in g
///     pool    = norm(x) of the class token, [N, D]
///
/// Images are brought to 224x224 by `pillow` unless --resize says otherwise, and scaled by ImageNet's mean and
/// deviation, as dgm-eval does for FD-DINOv2 (Stein et al., arXiv 2306.04675). Position embeddings, learned on
/// 37x37 patches, are interpolated to 16x16 as the original does: bicubic, by the factor 16.1 / 37 without
/// registers, antialiased to the size with them.
KnownWeights dinov2();

}  // namespace ganymede
