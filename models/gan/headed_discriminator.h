#pragma once

#include "models/gan/auxiliary.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// A discriminator "body" with a linear "head", equalised where its other layers are, on its features, whose outputs [N, K] it leaves in
/// ForwardContext::outputs. Its logits are the auxiliary task's verdict.
class HeadedDiscriminator final : public Discriminator {
 public:
  /// `auxiliary` must outlive it.
  HeadedDiscriminator(const GanNetworks& networks, const GanAuxiliary& auxiliary);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const override {
    return body_->exchanges(layout, ranks);
  }

 private:
  const GanAuxiliary& auxiliary_;
  std::shared_ptr<Discriminator> body_;
  std::shared_ptr<Linear> head_;
};

/// The networks' own discriminator, with a head where there is an auxiliary task.
std::shared_ptr<Discriminator> make_discriminator(const GanNetworks& networks, const GanAuxiliary* auxiliary);

}  // namespace ganymede
