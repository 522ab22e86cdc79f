#include "models/gan/losses/wasserstein.h"

namespace ganymede {
namespace {

class Wasserstein final : public GanLoss {
  GanLossNeeds needs() const override { return {.relative = true, .bounded_slope = true}; }
  at::Tensor discriminator(const GanLogits& logits) const override { return logits.fake - logits.real; }
  at::Tensor generator(const GanLogits& logits) const override { return -logits.fake; }
};

}  // namespace

std::unique_ptr<GanLoss> make_wasserstein() {
  return std::make_unique<Wasserstein>();
}

}  // namespace ganymede
