#pragma once

#include <functional>
#include <memory>

#include "models/diffusion/backward_step.h"

namespace ganymede {

/// A place on the way from noise to image: x = alpha x_0 + sigma eps. The image itself is {1, 0, ...}.
struct PathPoint {
  double alpha = 1, sigma = 0;
  double time = 0;  ///< the process's; the image has none

  NoiseLevel level() const;
};

/// What a network makes of x: its estimate D of x_0 and, where it learns the variance, v in [-1, 1] between
/// least and largest (else undefined). Both [N, C, H, W].
///
/// Where a classifier guides, `pull` is s g, with g the gradient of log p(y | x) by x and s its weight, and D is that
/// of the score plus s g: `unpulled` + sigma^2 / alpha s g, by which eps = (x - alpha D) / sigma is what algorithm 2
/// (and equation 14) of Dhariwal and Nichol (arXiv 2105.05233) has. Undefined where none does.
struct Denoised {
  at::Tensor image, variance;
  at::Tensor unpulled = {}, pull = {};
};

struct SolverOptions {
  double eta = 0;                  ///< ddim's noise: 0 none, 1 as much as DDPM
  std::string variance = "small";  ///< ddpm's where the network does not learn it
};

/// Goes from noise to image, one step() after the other.
class Solver {
 public:
  using Denoise = std::function<Denoised(const at::Tensor& x, const PathPoint& point)>;
  using Noise = std::function<at::Tensor()>;  ///< standard normal, like x, anew at each call

  virtual ~Solver() = default;
  /// x at `to`, by x at `from`, which is noisier.
  virtual at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to,
                          const Denoise& denoise, const Noise& noise) = 0;
};

/// The names in the table:
///
///     ddpm     a draw from the backward step (models/diffusion/backward_step.h) with D for x_0; the variance is
///              the posterior's ("small"), the forward one ("large"; none on the last step), or learned. Where a
///              classifier guides, D is as it was without, and variance times the pull is added to the mean (the same
///              paper's algorithm 1)
///     ddim     alpha' D + sqrt(sigma'^2 - s^2) eps + s z with eps = (x - alpha D) / sigma and s^2 = eta^2 posterior
///              variance (Song et al., arXiv 2010.02502, equation 12)
///     euler    ddim without noise, whatever eta: Euler's step of dx = D d alpha + eps d sigma
///     heun     the same with the mean of D and of eps at both ends (Karras et al., arXiv 2206.00364, algorithm 1
///              without churn); two evaluations a step, but one on the last
///     dpm++2m  DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, algorithm 2), first order on the first and last step
std::vector<std::string> solver_names();
/// For one batch of images. Throws Error(options) that lists the names.
std::unique_ptr<Solver> make_solver(const std::string& name, const SolverOptions& options);

}  // namespace ganymede
