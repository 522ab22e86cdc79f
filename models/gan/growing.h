#pragma once

#include "models/gan/adversarial.h"
#include "models/gan/growth.h"

namespace ganymede {

/// Progressive growing (Karras et al., arXiv 1710.10196): adversarial training whose networks are made anew at each
/// stage of the growth. A new stage's networks take over weights, averages and buffers by name, and whatever else the
/// method remembers; the optimisers begin anew there, and again where the new resolution is all there. While it is
/// faded in, real images are too:
///
///     x = alpha x_R + (1 - alpha) upsampled(averaged(x_R))
///
/// Which stage it is, and alpha, follow from the images seen: step() and sampler() are those of the last move_to().
/// Samples have the full size, each pixel of a smaller network's being repeated.
class GrowingMethod final : public Method {
 public:
  /// `networks`, `loss` and `auxiliary`, which may be null, must outlive it.
  GrowingMethod(const GanNetworks& networks, const GanLoss& loss, const GanAuxiliary* auxiliary,
                const AdversarialOptions& options, const GrowthOptions& growth, const MethodContext& context);

  std::vector<Player*> players() override { return stage_->method.players(); }
  NamedTensors state() const override { return stage_->method.state(); }
  std::int64_t batches_per_step() const override { return stage_->method.batches_per_step(); }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override {
    return stage_->method.costs_per_step(ranks);
  }
  void initialise() override { stage_->method.initialise(); }
  void move_to(std::int64_t position) override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override {
    return stage_->method.sampler(options);
  }
  std::unique_ptr<ProjectionNetworks> projection(const SampleOptions& options) override;

 private:
  /// What is made anew.
  struct Grown {
    std::unique_ptr<GanNetworks> networks;
    AdversarialMethod method;
  };
  std::unique_ptr<Grown> grown_to(const Stage& stage) const;
  void tell_growth();

  const GanNetworks& networks_;
  const GanLoss& loss_;
  const GanAuxiliary* auxiliary_;
  AdversarialOptions options_;
  GrowthOptions growth_;
  MethodContext context_;
  std::int64_t resolution_;  ///< when fully grown
  std::vector<Stage> stages_;
  std::size_t index_ = 0;
  std::unique_ptr<Grown> stage_;
  double alpha_ = 1;
};

}  // namespace ganymede
