#include "models/gan/losses/began.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

// A logit is minus an error.
class Began final : public GanLoss {
  void describe(OptionSchema& schema) override {
    schema.add("began.gamma", gamma_, "", {0, 1},
               "diversity: the errors' ratio, generated over real, that k balances");
    schema.add("began.lambda_k", lambda_k_, "", {0, 1}, "rate at which k follows");
  }
  GanLossNeeds needs() const override { return {.autoencoder = true}; }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return logits.state.to(logits.fake.scalar_type()) * logits.fake - logits.real;
  }
  at::Tensor generator(const GanLogits& logits) const override { return -logits.fake; }
  at::Tensor initial_state() const override { return at::zeros({1}, at::kDouble); }
  void advance(at::Tensor& state, const at::Tensor& means) const override {
    state.add_(means[1] - gamma_ * means[0], lambda_k_).clamp_(0, 1);
  }

 private:
  double gamma_ = 0.5, lambda_k_ = 0.001;
};

}  // namespace

std::unique_ptr<GanLoss> make_began() {
  return std::make_unique<Began>();
}

}  // namespace ganymede
