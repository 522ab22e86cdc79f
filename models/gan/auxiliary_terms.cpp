#include "models/gan/auxiliary_terms.h"

namespace ganymede {

void AuxiliaryTerms::add(const std::string& name, const at::Tensor& part) {
  const at::Tensor figure = part.detach().to(at::kDouble);
  const auto found = std::ranges::find(sums_, name, &StepReport::value_type::first);
  if (found == sums_.end())
    sums_.emplace_back(name, figure);
  else
    found->second = found->second + figure;
}

at::Tensor AuxiliaryTerms::discriminator(const at::Tensor& loss, const at::Tensor& outputs,
                                         const at::Tensor& real_labels, const at::Tensor& fake_labels,
                                         const at::Tensor& z) {
  if (!auxiliary_) return loss;
  const std::int64_t count = z.size(0);
  const AuxiliaryView real{outputs.narrow(0, 0, count), real_labels, {}};
  const AuxiliaryView fake{outputs.narrow(0, count, count), fake_labels, z};
  const double share = 1.0 / static_cast<double>(batch_);
  const at::Tensor part = auxiliary_->discriminator(real, fake).sum() * share;
  add("auxiliary_d", part);
  for (const auto& [name, figure] : auxiliary_->figures(real, fake)) add(name, figure.sum() * share);
  return loss + part;
}

at::Tensor AuxiliaryTerms::generator(const at::Tensor& loss, const at::Tensor& outputs,
                                     const at::Tensor& labels, const at::Tensor& z) {
  if (!auxiliary_) return loss;
  const at::Tensor each = auxiliary_->generator({outputs, labels, z});
  if (!each.defined()) return loss;
  const at::Tensor part = each.sum() / static_cast<double>(batch_);
  add("auxiliary_g", part);
  return loss + part;
}

void AuxiliaryTerms::report(StepReport& report, std::int64_t d_steps) {
  for (const auto& [name, sum] : sums_)
    report.emplace_back(name, name == "auxiliary_g" ? sum : sum / static_cast<double>(d_steps));
  sums_.clear();
}

}  // namespace ganymede
