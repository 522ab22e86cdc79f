#pragma once

#include "core/options.h"
#include "models/gan/image_draws.h"
#include "models/gan/judged_images.h"
#include "models/gan/network.h"

namespace ganymede {

/// Consistency: D should not tell an image from a moved or mirrored one, nor G make much or nothing of a
/// small change of z. T(x) mirrors with probability 1/2 and moves by up to an eighth of the side, the mirror
/// image beyond the edge; T(z) = z + zcr_noise eps, eps standard normal. Added to the losses, an image:
///
///   D  cr_real (D(x) - D(T(x)))^2                 CR (Zhang et al., arXiv 1910.12027)
///      + cr_fake (D(G(z)) - D(T(G(z))))^2         with it bCR (Zhao et al., arXiv 2002.04724, algorithm 1)
///      + zcr_d (D(G(z)) - D(G(T(z))))^2           zCR (there, algorithm 2)
///   G  - zcr_g |G(z) - G(T(z))|^2
///
/// where the last square is the mean over pixels and channels, so that one weight suits all resolutions.
struct ConsistencyOptions {
  double cr_real = 0, cr_fake = 0, zcr_d = 0, zcr_g = 0, zcr_noise = 0.05;

  /// Adds "gan.cr_real" and so on.
  void describe(OptionSchema& schema);
  bool for_discriminator() const { return cr_real > 0 || cr_fake > 0 || zcr_d > 0; }
};

/// D's terms [N]; call it where options.for_discriminator(). `changed_fake`: G(T(z)) with the fakes'
/// labels, where zcr_d > 0.
at::Tensor consistency_penalty(const ConsistencyOptions& options, Discriminator& discriminator,
                               const JudgedImages& judged, const at::Tensor& changed_fake,
                               const ImageDraws& draws, const ForwardContext& context);

/// T(x); differentiable. `side` tells streams apart: "real", "fake".
at::Tensor consistent_image(const at::Tensor& images, const ImageDraws& draws, const std::string& side);
/// T(z).
at::Tensor consistent_latent(const ConsistencyOptions& options, const at::Tensor& z, const ImageDraws& draws);

}  // namespace ganymede
