#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <functional>
#include <set>

#include "models/method.h"
#include "models/player.h"

namespace ganymede {

class OneWeightNet final : public torch::nn::Module {
 public:
  explicit OneWeightNet(int tensors) {
    weight = register_parameter("weight", at::zeros({3}));
    for (int i = 1; i < tensors; ++i) register_parameter(fmt::format("weight{}", i), at::zeros({3 + i}));
  }
  at::Tensor weight;
};

/// One number to learn; its gradient is what the test says. More `tensors` than one, and an average, where they are
/// asked for.
class OneWeight final : public Method {
 public:
  OneWeight(Communicator& gradients, bool scale_loss, const OptimizerOptions& options = {}, int tensors = 1)
      : net_(std::make_shared<OneWeightNet>(tensors)),
        player_("net", net_, options, at::kFloat, at::kCPU, gradients, 1 << 20, scale_loss) {}

  std::vector<Player*> players() override { return {&player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int) const override { return {}; }
  void initialise() override {}
  StepReport step(std::int64_t step, const NextBatch& next) override {
    next();
    if (during) during(step);
    player_.zero_gradients();
    player_.reducer().arm();
    const double value = bad_steps.contains(step) ? NAN : 1.0;
    at::Tensor sum = net_->weight.sum();
    for (const at::Tensor& tensor : net_->parameters())
      if (!tensor.is_same(net_->weight)) sum = sum + tensor.sum();
    player_.backward(sum * value);
    player_.finish_gradients();
    player_.update();
    if (after) after(step);
    return {{"loss", at::full({}, value, at::kDouble)}};
  }
  std::unique_ptr<Sampler> sampler(const SampleOptions&) override { return std::make_unique<Grey>(grey); }

  std::set<std::int64_t> bad_steps;
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
