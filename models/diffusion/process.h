#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "core/options.h"

namespace ganymede {

/// What a process says of images at their times, [N] each, float64 on the host. An image x_0 at time t is
///
///     x_t = alpha x_0 + sigma eps,   eps ~ N(0, I)
///
/// and the network's output F, with D its estimate of x_0,
///
///     F = network(scale x_t, condition),   D = keep x_t + gain F
///
/// learns target = target_image x_0 + target_noise eps by weight times the mean square error.
struct Coefficients {
  at::Tensor alpha, sigma, scale, condition, target_image, target_noise, keep, gain, weight;
};

/// A way from images to noise, and what a network is to learn of it: DDPM, EDM, flow matching. Times are
/// float64; what a time means is the process's own.
class DiffusionProcess {
 public:
  virtual ~DiffusionProcess() = default;
  virtual void describe(OptionSchema& schema) = 0;
  /// Throws Error(options) where single options are in range but do not fit together.
  virtual void check() const {}
  /// Times to train at, by numbers [N] uniform in [0, 1).
  virtual at::Tensor times(const at::Tensor& uniform) const = 0;
  virtual Coefficients coefficients(const at::Tensor& times) const = 0;
  /// `steps` times to sample at, from noise towards the image (which comes after the last of them), spaced
  /// "trailing" or "leading" where they are whole numbers. Throws Error(options) for more steps than there
  /// are times.
  virtual at::Tensor path(std::int64_t steps, const std::string& spacing) const = 0;

  /// The time at which sigma / alpha is `noise`; nothing where times are whole numbers.
  virtual std::optional<double> time_at(double /*noise*/) const { return std::nullopt; }

  /// Whether the network gives a second output v, as large as F, for the variance of DDPM's backward step.
  virtual bool learns_variance() const { return false; }
  /// The length of the chain of times 0 .. length - 1 whose variational bound bound() and prior_bound() give; 0 where
  /// there is none.
  virtual std::int64_t chain_length() const { return 0; }
  /// A chain's term of the bound at each image's time, in bits a dimension, [N]: images x_0 and x_t, the network's
  /// estimate of x_0, and where the variance of the backward step is, v in [-1, 1] between least and largest. What
  /// learned variances learn by (without a graph to the estimate); summed over all times, a likelihood.
  virtual at::Tensor bound(const at::Tensor& x0, const at::Tensor& xt, const at::Tensor& estimate,
                           const at::Tensor& v, const at::Tensor& times) const;
  /// What the image still tells at the last time, in bits a dimension, [N].
  virtual at::Tensor prior_bound(const at::Tensor& x0) const;
};

/// The names in the table.
std::vector<std::string> diffusion_process_names();
/// Throws Error(options) that lists the names.
std::unique_ptr<DiffusionProcess> make_diffusion_process(const std::string& name);

/// Figures [N] of images as a column that multiplies `like` [N, C, H, W]: its type and device, without a wait.
at::Tensor per_image(const at::Tensor& figures, const at::Tensor& like);

}  // namespace ganymede
