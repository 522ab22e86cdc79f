#include "models/gan/losses/hinge.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

class Hinge final : public GanLoss {
  at::Tensor discriminator(const GanLogits& logits) const override {
    return at::relu(1 - logits.real) + at::relu(1 + logits.fake);
  }
  at::Tensor generator(const GanLogits& logits) const override { return -logits.fake; }
};

}  // namespace

std::unique_ptr<GanLoss> make_hinge() {
  return std::make_unique<Hinge>();
}

}  // namespace ganymede
