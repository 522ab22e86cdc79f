#pragma once

#include "models/encoders/projection_networks.h"
#include "models/features/lpips.h"

namespace ganymede {

/// Where and how an image's likeness is looked for.
struct ProjectorOptions {
  std::string space = "z";  ///< z; w: one style for all layers; w+: a style for each
  std::int64_t steps = 1000;
  double lr = 0;            ///< of Adam at its highest; 0: 0.1 for styles, 0.05 for z
  std::string loss = "l2";  ///< l2, anogan
  double lambda = 0.1;      ///< share of features in the anomaly score
  double lpips = 0;         ///< weight of LPIPS beside the loss
  double noise = 0.05;      ///< of styles, in deviations
  std::uint64_t seed = 0;

  /// Throws Error(options) where the networks, or images of so many channels and pixels, do not have what is asked for.
  void check(const ProjectionNetworks& networks, const ImageSpec& images, bool anomaly) const;
};

/// What was found for N images.
struct Projections {
  at::Tensor latents;   ///< [N, D], [N, S] for w, [N, L, S] for w+
  at::Tensor images;    ///< [N, C, H, W]
  at::Tensor distance;  ///< [N]: mean squared difference of pixels in [-1, 1]
  at::Tensor lpips;     ///< [N]; undefined without
  at::Tensor
      residual;  ///< [N]: sum of absolute differences of pixels; as the next two undefined where not asked for
  at::Tensor feature;  ///< [N]: sum of absolute differences of features; zeros where lambda is 0
  at::Tensor anomaly;  ///< [N]: (1 - lambda) residual + lambda feature
};

/// Looks for latents whose images are like given ones, by Adam (Kingma and Ba, arXiv 1412.6980) on the latents of each
/// image alone.
///
/// Styles begin as their mean over 10,000 random z, and during the first 3/4 of the steps noise of standard deviation
/// `noise` sigma t^2 is added to them, sigma^2 = E |w - mean|^2 and t falling from 1 to 0 (Karras et al., arXiv
/// 1912.04958, appendix D; there noise maps are learned too, here they are the network's fixed ones). z begins as the
/// encoder's where there is one, else as a random one. The rate rises linearly in the first 5 % of the steps and falls
/// as a cosine in the last 25 % (the same). The loss of an image is
///
///     l2       mean (x - G)^2
///     anogan   (1 - lambda) sum |x - G| + lambda sum |f(x) - f(G)|
///              (Schlegl et al., arXiv 1703.05921, section 2.2; f: D's features; the anomaly score is the same)
///
/// plus `lpips` times LPIPS, which looks at images that are shrunk by floor(H / 256), or by less where a side would be
/// left with fewer than 16 pixels.
///
/// Image i's result depends on (seed, i) and on how many images are projected with it, which rounding may show.
class Projector {
 public:
  /// `networks` and `lpips`, which may be null, must outlive it.
  Projector(ProjectionNetworks& networks, const ProjectorOptions& options, const Lpips* lpips);

  /// Of one image's latents: {D}, {S} or {L, S}.
  std::vector<std::int64_t> latent_shape() const;

  /// Told after each step.
  using Advance = std::function<void(std::int64_t step)>;
  /// Images first .. first + N - 1 of what is projected, [N, C, H, W] in [-1, 1], with labels [N]. With `anomaly` the
  /// score is computed too.
  Projections project(std::int64_t first, const at::Tensor& images, const at::Tensor& labels, bool anomaly,
                      const Advance& advance = {});

 private:
  /// What the images are compared with.
  struct Target {
    at::Tensor images, labels, features;
  };
  void measure_styles();
  at::Tensor start(std::int64_t first, const Target& target);
  at::Tensor images_of(const at::Tensor& latents, const Target& target);
  at::Tensor noisy(const at::Tensor& latents, std::int64_t first, std::int64_t step) const;
  at::Tensor residual(const at::Tensor& images, const Target& target) const;
  at::Tensor feature_difference(const at::Tensor& images, const Target& target);
  at::Tensor perceived_distance(const at::Tensor& images, const Target& target) const;
  at::Tensor losses(const at::Tensor& images, const Target& target);
  double rate(std::int64_t step) const;

  ProjectionNetworks& networks_;
  ProjectorOptions options_;
  const Lpips* lpips_;
  at::Tensor style_mean_;  // [L, S]
  double style_deviation_ = 0;
};

}  // namespace ganymede
