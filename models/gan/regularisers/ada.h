#pragma once

#include "core/options.h"
#include "models/gan/image_draws.h"
#include "models/image_spec.h"

namespace ganymede {

/// Adaptive discriminator augmentation (Karras et al., arXiv 2006.06676): D sees nothing but augmented images, and G
/// learns through the augmentation. Each operation is applied to an image with probability p, independently. p follows
/// how far D has come to know the real images: with r = the mean of sign(D(x)) over the real images of the last
/// `every` updates of D,
///
///     p += sign(r - target) * images of these updates / (1000 kimg),   within [0, 1].
struct AdaOptions {
  bool blitting = false;  ///< mirroring, quarter turns, moves by whole pixels
  bool geometry = false;  ///< scale, turn, stretch, move by parts of pixels
  bool color = false;     ///< brightness, contrast, luma, hue, saturation
  bool filter = false;    ///< bands of frequencies amplified or weakened
  bool noise = false;     ///< of each value
  bool cutout = false;    ///< a rectangle of half the sides set to 0
  double p = 0;           ///< at the start
  double target = 0.6;    ///< 0: p stays
  std::int64_t every = 4;
  double kimg = 500;

  /// Adds "ada. ...".
  void describe(OptionSchema& schema);
  bool wanted() const { return blitting || geometry || color || filter || noise || cutout; }
  bool adapts() const { return wanted() && target > 0; }
  /// Throws Error(options) for images that it cannot change.
  void check(const ImageSpec& images) const;
};

/// An image's random numbers, a row an image. Uniform ones [N, 29]: whether (u < p) and what, for mirroring (0, 1),
/// quarter turns (2, 3), whole pixels (4; 5 right, 6 down), scale (7), turn (8, 9), stretch (10), second turn (11, 12),
/// parts of pixels (13), brightness (14), contrast (15), luma (16, 17), hue (18, 19), saturation (20), bands (21 to 24),
/// noise (25), cutout (26; 27 right, 28 down). Normal ones [N, 12]: scale, stretch, parts of pixels right and down,
/// brightness, contrast, saturation, bands (7 to 10), the noise's deviation (11).
struct AdaDraws {
  at::Tensor uniform, normal;
  at::Tensor noise;  ///< normal, [N, C, H, W]; undefined without ada.noise
};
/// For images of this shape [C, H, W]. `side` tells streams apart: "real", "fake".
AdaDraws ada_draws(const AdaOptions& options, const ImageDraws& draws, const std::string& side,
                   at::IntArrayRef shape);

/// The inverse of the paper's G [N, 3, 3] (appendix B): where in the image each place of the result comes from, as
/// warped() takes it. p: a scalar on the device.
at::Tensor ada_geometry(const AdaOptions& options, const at::Tensor& p, const AdaDraws& draws,
                        std::int64_t side);
/// The paper's C without its last row [N, 3, 4]: (r, g, b, 1) to (r, g, b).
at::Tensor ada_colors(const at::Tensor& p, const AdaDraws& draws);

/// How much each band of frequencies is amplified, the lowest first: [N, 4]. Each band's draw is divided by what it makes
/// of the power of natural images, which falls as 1 / f: weights (10, 1, 1, 1) / 13.
at::Tensor ada_gains(const at::Tensor& p, const AdaDraws& draws);
/// The filter of these gains along an axis of `side` >= 2 pixels, each image's a matrix: [N, side, side]. Beyond both ends
/// lies the mirror image.
at::Tensor ada_bands(const at::Tensor& gains, std::int64_t side);
/// The noise's standard deviation [N]: half normal, of 0.1.
at::Tensor ada_deviations(const at::Tensor& p, const AdaDraws& draws);
/// Whether a pixel is cut out, bool [N, 1, height, width]: of an even number of pixels a side just a half, but for what
/// of it lies beyond the rim.
at::Tensor ada_holes(const at::Tensor& p, const AdaDraws& draws, std::int64_t height, std::int64_t width);

/// images [N, C, H, W] in [-1, 1], changed; differentiable to any order.
at::Tensor ada_augment(const AdaOptions& options, const at::Tensor& p, const at::Tensor& images,
                       const AdaDraws& draws);

/// p, and what it follows.
class AdaProbability {
 public:
  AdaProbability(const AdaOptions& options, at::Device device);

  void reset();
  /// After D's update number `update` (from 0): the sum of the signs of its `batch` real logits over all ranks.
  void advance(std::int64_t update, const at::Tensor& signs, std::int64_t batch);
  /// A float64 scalar.
  at::Tensor p() const { return memory_[0]; }
  /// [p, sum of signs, images since p moved], float64: part of checkpoints.
  const at::Tensor& memory() const { return memory_; }

 private:
  AdaOptions options_;
  at::Tensor memory_;
};

}  // namespace ganymede
