#pragma once

#include "models/diffusion/process.h"

namespace ganymede {

struct EdmOptions {
  double sigma_data = 0.5;
  double mean = -1.2, deviation = 1.2;  ///< of ln sigma in training
  double sigma_min = 0.002, sigma_max = 80, rho = 7;

  void describe(OptionSchema& schema);
};

/// Preconditioned denoising of Karras et al. (arXiv 2206.00364, table 1): the time is sigma itself, alpha = 1,
/// ln sigma is normal in training, and with s = sigma_data
///
///     scale = 1 / sqrt(sigma^2 + s^2),        condition = ln(sigma) / 4,
///     keep = s^2 / (sigma^2 + s^2),           gain = sigma s / sqrt(sigma^2 + s^2);
///
/// the loss weight lambda(sigma) gain^2 is 1. Sampling goes from sigma_max to sigma_min (equation 5).
class Edm final : public DiffusionProcess {
 public:
  Edm() = default;
  explicit Edm(const EdmOptions& options) : options_(options) {}
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override;
  at::Tensor times(const at::Tensor& uniform) const override;
  Coefficients coefficients(const at::Tensor& times) const override;
  at::Tensor path(std::int64_t steps, const std::string& spacing) const override;
  std::optional<double> time_at(double noise) const override { return noise; }

 private:
  EdmOptions options_;
};

std::unique_ptr<DiffusionProcess> make_edm();

}  // namespace ganymede
