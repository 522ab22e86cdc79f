#pragma once

#include "core/options.h"
#include "models/gan/image_draws.h"

namespace ganymede {

/// DiffAugment (Zhao et al., arXiv 2006.10738): D sees nothing but augmented images, real and generated ones,
/// in its own updates and in G's; G learns through the augmentation. Each image is changed in its own way.
struct DiffAugmentOptions {
  bool color = false;        ///< brightness by +-0.5, saturation times 0 to 2, contrast times 0.5 to 1.5
  bool translation = false;  ///< by up to an eighth of each side, zeros beyond the edge
  bool cutout = false;       ///< a square of half the side set to zero, its centre anywhere

  /// Adds "gan.diff_augment_...".
  void describe(OptionSchema& schema);
  bool wanted() const { return color || translation || cutout; }
};

/// images [N, C, H, W] in [-1, 1]; differentiable. `side` tells streams apart: "real", "fake".
at::Tensor diff_augment(const DiffAugmentOptions& options, const at::Tensor& images, const ImageDraws& draws,
                        const std::string& side);

/// Whole pixels [N] up to an eighth of the side, either way.
at::Tensor small_moves(std::int64_t side, const ImageDraws& draws, const std::string& stream);

/// Images moved by whole pixels [N] down and to the right, zeros or the mirror image beyond the edge (the
/// edge itself is not repeated). Differentiable.
enum class Beyond { zero, mirror };
at::Tensor shifted(const at::Tensor& images, const at::Tensor& down, const at::Tensor& right, Beyond beyond);

}  // namespace ganymede
