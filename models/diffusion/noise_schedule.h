#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ganymede {

/// How much of the image is left after each of a chain's steps.
struct NoiseSchedule {
  std::string kind = "linear";
  std::int64_t steps = 1000;
  double beta_first = 1e-4, beta_last = 0.02;  ///< of "linear" and "scaled-linear"

  static std::vector<std::string> kinds() { return {"linear", "scaled-linear", "cosine"}; }

  /// The variance beta_t that step t = 0 .. steps - 1 adds, [steps] float64:
  ///
  ///     linear         evenly from beta_first to beta_last (Ho et al., arXiv 2006.11239, section 4)
  ///     scaled-linear  the square of that from their roots (latent diffusion's "linear")
  ///     cosine         1 - f(t + 1) / f(t), at most 0.999, f(t) = cos((t / steps + 0.008) / 1.008 pi / 2)^2
  ///                    (Nichol and Dhariwal, arXiv 2102.09672, equation 17)
  at::Tensor betas() const;
  /// alpha_bar_t = (1 - beta_0) ... (1 - beta_t), [steps] float64.
  at::Tensor alpha_bars() const;
};

}  // namespace ganymede
