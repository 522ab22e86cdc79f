#include "models/gan/losses/minimax.h"

#include <ATen/ATen.h>

#include "models/gan/cross_entropy.h"

namespace ganymede {
namespace {

class Minimax final : public GanLoss {
  void describe(OptionSchema& schema) override { real_target_.describe(schema, "minimax"); }
  GanLossNeeds needs() const override { return {.probabilities = true}; }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return cross_entropy(logits, real_target_);
  }
  at::Tensor generator(const GanLogits& logits) const override { return at::log_sigmoid(-logits.fake); }

 private:
  RealTarget real_target_;
};

}  // namespace

std::unique_ptr<GanLoss> make_minimax() {
  return std::make_unique<Minimax>();
}

}  // namespace ganymede
