#include "models/gan/losses/boundary_seeking.h"

#include <ATen/ATen.h>

#include "models/gan/cross_entropy.h"

namespace ganymede {
namespace {

class BoundarySeeking final : public GanLoss {
  GanLossNeeds needs() const override { return {.probabilities = true}; }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return cross_entropy(logits, {});
  }
  at::Tensor generator(const GanLogits& logits) const override { return logits.fake.square() / 2; }
};

}  // namespace

std::unique_ptr<GanLoss> make_boundary_seeking() {
  return std::make_unique<BoundarySeeking>();
}

}  // namespace ganymede
