#include "models/gan/losses/relativistic_average.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

class RelativisticAverage final : public GanLoss {
  GanLossNeeds needs() const override {
    return {.real_for_generator = true, .means = true, .relative = true};
  }
  at::Tensor discriminator(const GanLogits& logits) const override {
    const at::Tensor means = logits.means();
    return part(logits.real - means[1], logits.fake - means[0]);
  }
  at::Tensor generator(const GanLogits& logits) const override {
    const at::Tensor means = logits.means();
    return part(logits.fake - means[0], logits.real - means[1]);
  }

 private:
  static at::Tensor part(const at::Tensor& up, const at::Tensor& down) {
    return -at::log_sigmoid(up) - at::log_sigmoid(-down);
  }
};

}  // namespace

std::unique_ptr<GanLoss> make_relativistic_average() {
  return std::make_unique<RelativisticAverage>();
}

}  // namespace ganymede
