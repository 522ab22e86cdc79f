#pragma once

#include "models/gan/adversarial_options.h"
#include "models/gan/loss.h"
#include "models/method.h"

namespace ganymede {

/// Adversarial training: a step is d_steps updates of the discriminator, each on a fresh global batch and
/// fresh fakes, then one update of the generator. Every network that takes part in an update iterates its
/// spectral norm once there.
class AdversarialMethod final : public Method {
 public:
  AdversarialMethod(const GanNetworks& networks, const AdversarialOptions& options,
                    const MethodContext& context);

  std::vector<Player*> players() override { return {&generator_player_, &discriminator_player_}; }
  std::int64_t batches_per_step() const override { return options_.d_steps; }
  std::vector<CollectiveCost> costs_per_step() const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;

 private:
  struct Latents {
    at::Tensor z, labels;
  };
  /// A micro-batch's part of the losses.
  struct Losses;

  Latents draw_latents(const RandomKey& key, const Share& share, std::int64_t micro_step) const;
  /// Images that share batch-norm statistics.
  std::int64_t group() const;
  ForwardContext forward_context(const Share& share) const;
  void update_discriminator(std::int64_t step, std::int64_t sub_step, const NextBatch& next, Losses& losses);
  void update_generator(std::int64_t step, Losses& losses);
  /// As "<player>.gradient.<parameter>": what update() is about to use.
  void show_gradients(const Player& player) const;

  const GanNetworks& networks_;
  AdversarialOptions options_;
  MethodContext context_;
  const GanLoss& loss_;
  std::shared_ptr<Generator> generator_;
  std::shared_ptr<Discriminator> discriminator_;
  Player generator_player_, discriminator_player_;
};

}  // namespace ganymede
