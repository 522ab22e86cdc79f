#pragma once

#include "models/gan/auxiliary.h"
#include "models/method.h"

namespace ganymede {

/// An auxiliary task's part in the steps of a method, and its figures of the step at hand. Without a task it does
/// nothing.
class AuxiliaryTerms {
 public:
  /// `auxiliary` may be null, else it must outlive this; `batch`: images of the global batch.
  AuxiliaryTerms(const GanAuxiliary* auxiliary, std::int64_t batch) : auxiliary_(auxiliary), batch_(batch) {}

  /// Null without one.
  const GanAuxiliary* task() const { return auxiliary_; }
  LatentCodes codes() const { return auxiliary_ ? auxiliary_->codes() : LatentCodes{}; }
  /// A micro-batch's part of D's loss with the task's added. outputs [2 N, K]: of real images, then of fakes.
  at::Tensor discriminator(const at::Tensor& loss, const at::Tensor& outputs, const at::Tensor& real_labels,
                           const at::Tensor& fake_labels, const at::Tensor& z);
  /// The same of G's loss, outputs [N, K].
  at::Tensor generator(const at::Tensor& loss, const at::Tensor& outputs, const at::Tensor& labels,
                       const at::Tensor& z);
  /// Adds "auxiliary_d", "auxiliary_g" and the task's own figures since the last report.
  void report(StepReport& report, std::int64_t d_steps);

 private:
  void add(const std::string& name, const at::Tensor& part);

  const GanAuxiliary* auxiliary_;
  std::int64_t batch_;
  StepReport sums_;
};

}  // namespace ganymede
