#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <functional>

#include "models/method.h"
#include "models/player.h"

namespace ganymede {

class OneWeightNet final : public torch::nn::Module {
 public:
  OneWeightNet() { weight = register_parameter("weight", at::zeros({3})); }
  at::Tensor weight;
};

/// One number to learn; its gradient is what the test says.
class OneWeight final : public Method {
 public:
  OneWeight(Communicator& gradients, bool scale_loss)
      : net_(std::make_shared<OneWeightNet>()),
        player_("net", net_, {}, at::kFloat, at::kCPU, gradients, 1 << 20, scale_loss) {}

  std::vector<Player*> players() override { return {&player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int) const override { return {}; }
  void initialise() override {}
  StepReport step(std::int64_t step, const NextBatch& next) override {
    next();
    if (during) during(step);
    player_.zero_gradients();
    player_.reducer().arm();
    const double value = step == bad_step ? NAN : 1.0;
    player_.backward(net_->weight.sum() * value);
    player_.finish_gradients();
    player_.update();
    if (after) after(step);
    return {{"loss", at::full({}, player_.loss_scale() ? value : 1.0, at::kDouble)}};
  }
  std::unique_ptr<Sampler> sampler(const SampleOptions&) override { return std::make_unique<Grey>(grey); }

  std::int64_t bad_step = 0;
  double grey = 0;  ///< of what is drawn
  std::function<void(std::int64_t step)> during, after;  ///< before and after an update

 private:
  class Grey final : public Sampler {
   public:
    explicit Grey(double grey) : grey_(grey) {}
    at::Tensor images(std::int64_t, const at::Tensor& labels) override {
      return at::full({labels.numel(), 1, 32, 32}, grey_);
    }

   private:
    double grey_;
  };
  std::shared_ptr<OneWeightNet> net_;
  Player player_;
};

}  // namespace ganymede
