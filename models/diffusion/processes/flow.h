#pragma once

#include "models/diffusion/process.h"

namespace ganymede {

struct FlowOptions {
  std::string times = "logit-normal";
  double mean = 0, deviation = 1;  ///< of logit t in training
  double time_scale = 1000;

  void describe(OptionSchema& schema);
};

/// Flow matching along straight lines (Lipman et al., arXiv 2210.02747; Liu et al., arXiv 2209.03003): t in
/// (0, 1), alpha = 1 - t, sigma = t, and the network predicts the velocity eps - x_0. Training times are
/// uniform, or the logistic function of normal ones (Esser et al., arXiv 2403.03206, section 3.1). The network
/// is told time_scale t. Sampling goes evenly from 1 to 0.
class Flow final : public DiffusionProcess {
 public:
  Flow() = default;
  explicit Flow(const FlowOptions& options) : options_(options) {}
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  at::Tensor times(const at::Tensor& uniform) const override;
  Coefficients coefficients(const at::Tensor& times) const override;
  at::Tensor path(std::int64_t steps, const std::string& spacing) const override;
  std::optional<double> time_at(double noise) const override { return noise / (1 + noise); }

 private:
  FlowOptions options_;
};

std::unique_ptr<DiffusionProcess> make_flow();

}  // namespace ganymede
