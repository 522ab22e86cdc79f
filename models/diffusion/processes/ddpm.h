#pragma once

#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/process.h"

namespace ganymede {

struct DdpmOptions {
  NoiseSchedule schedule;
  std::string prediction = "eps";
  double min_snr = 0;  ///< gamma; 0 = none
  bool learned_variance = false;

  void describe(OptionSchema& schema);
};

/// Denoising diffusion in discrete time (Ho et al., arXiv 2006.11239): t = 0 .. steps - 1, uniform in training,
/// alpha^2 = alpha_bar_t, sigma^2 = 1 - alpha_bar_t, and the network is told t. It predicts eps, x_0, or
/// v = alpha eps - sigma x_0 (Salimans and Ho, arXiv 2202.00512). With min_snr = gamma and
/// SNR = alpha^2 / sigma^2 the error of x_0 is weighted by min(SNR, gamma) (Hang et al., arXiv 2303.09556):
///
///     eps: min(SNR, gamma) / SNR,   x0: min(SNR, gamma),   v: min(SNR, gamma) / (SNR + 1)
///
/// With learned_variance the bound of Nichol and Dhariwal (arXiv 2102.09672, equations 14 to 16) is added, in
/// bits a dimension: v in [-1, 1] stands between the least and the largest variance of the backward step, in
/// the logarithm. Its last term is the likelihood of bytes (DDPM, equation 13), its first the divergence of x_T from
/// noise (equation 5).
class Ddpm final : public DiffusionProcess {
 public:
  Ddpm() = default;
  explicit Ddpm(const DdpmOptions& options) : options_(options) {}
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override;
  at::Tensor times(const at::Tensor& uniform) const override;
  Coefficients coefficients(const at::Tensor& times) const override;
  at::Tensor path(std::int64_t steps, const std::string& spacing) const override;
  bool learns_variance() const override { return options_.learned_variance; }
  std::int64_t chain_length() const override { return options_.schedule.steps; }
  at::Tensor bound(const at::Tensor& x0, const at::Tensor& xt, const at::Tensor& estimate,
                   const at::Tensor& v, const at::Tensor& times) const override;
  at::Tensor prior_bound(const at::Tensor& x0) const override;

 private:
  const at::Tensor& alpha_bars() const;

  DdpmOptions options_;
  mutable at::Tensor alpha_bars_;  // once made
};

std::unique_ptr<DiffusionProcess> make_ddpm();

}  // namespace ganymede
