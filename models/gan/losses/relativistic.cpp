#include "models/gan/losses/relativistic.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

class Relativistic final : public GanLoss {
  GanLossNeeds needs() const override { return {.real_for_generator = true, .relative = true}; }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return -at::log_sigmoid(logits.real - logits.fake);
  }
  at::Tensor generator(const GanLogits& logits) const override {
    return -at::log_sigmoid(logits.fake - logits.real);
  }
};

}  // namespace

std::unique_ptr<GanLoss> make_relativistic() {
  return std::make_unique<Relativistic>();
}

}  // namespace ganymede
