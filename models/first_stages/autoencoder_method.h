#pragma once

#include "models/first_stages/autoencoder.h"
#include "models/first_stages/code_usage.h"
#include "models/first_stages/reconstruction_loss.h"
#include "models/translation/patch_discriminator.h"
#include "models/translation/patch_loss.h"
#include "models/translation/step_sums.h"

namespace ganymede {

struct AutoencoderMethodOptions {
  AutoencoderOptions network;
  ReconstructionOptions reconstruction;
  double kl = 1e-6;
  double codebook = 0.25, commitment = 1;
  std::int64_t restart_every = 0;
  std::string loss = "hinge";
  double adversarial = 0.5;
  std::int64_t adversarial_from = 50001;
  double most_adaptive = 1e4;
  double discriminator_factor = 0.5;
  PatchDiscriminatorOptions patches;
  OptimizerOptions autoencoder{.lr = 4.5e-6, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-8};
  OptimizerOptions discriminator{.lr = 4.5e-6, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-8};

  void describe(OptionSchema& schema);
  /// Throws Error(options) where options do not fit together.
  void check(const GanLoss& made) const;
  PatchDiscriminatorOptions judge() const;
};

/// Learns the first stage of latent diffusion (Rombach et al., arXiv 2112.10752, section 3.1 and appendix G; of "vq" that
/// of Esser et al., arXiv 2012.09841). A step is an update of the autoencoder, then one of a discriminator D of patches,
/// on one global batch x and, of the autoencoder as it was before, on one reconstruction y = decode(z). Means over the
/// batch of
///
///     kl:   C H W d(x, y) + kl KL(q(z|x) || N(0, I)) + lambda loss_G(D(y)),  z drawn from q
///     vq:   d(x, y) + commitment |z - sg e|^2 + codebook |sg z - e|^2 + lambda loss_G(D(y)),
///           decode(z + sg(e - z)), the squares' means over a latent, e the nearest code to z
///     D:    discriminator_factor loss_D(D(x), D(y))
///
/// with d of ReconstructionLoss. lambda = adversarial min(|g_d| / (|g_D| + 1e-4), most_adaptive), where g_d and g_D are the
/// gradients of the first and the last term by the weight of the decoder's last layer, of the global batch. Before step
/// `adversarial_from` there is neither that term nor D's update.
///
/// Every `restart_every` steps codes that were the nearest to nothing since become vectors of the batch. Noise and these
/// depend on (seed, step, position in the global batch) alone.
class AutoencoderMethod final : public Method {
 public:
  /// `loss` must outlive it.
  AutoencoderMethod(const AutoencoderMethodOptions& options, const GanLoss& loss,
                    const MethodContext& context);

  std::vector<Player*> players() override { return {&player_, &discriminator_player_}; }
  NamedTensors state() const override;
  std::int64_t batches_per_step() const override { return 1; }
  /// With the discriminator at work.
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  /// Reconstructs SampleOptions::sources: by the distribution's mean, or the nearest codes.
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;
  /// A copy that no step changes.
  std::shared_ptr<Autoencoder> network(bool average) const;
  const AutoencoderOptions& network_options() const { return options_.network; }

 private:
  /// A micro-batch.
  struct Seen {
    at::Tensor images;
    std::int64_t first = 0;  ///< position of this rank's first image in the global batch
    ForwardContext forward;
  };
  /// What the autoencoder makes of it.
  struct Pass {
    at::Tensor reconstruction;
    at::Tensor regulariser;       ///< what beside the reconstruction costs, this rank's part: a scalar
    at::Tensor vectors, indices;  ///< of "vq": before quantising, and codes
  };
  /// Gradients by a reconstruction, without graphs; of D undefined before it is at work.
  struct Slopes {
    at::Tensor distance, adversarial;
  };

  Seen seen(const Batch& batch, std::int64_t micro_step) const;
  Pass run(const Seen& seen, std::int64_t step, bool with_graph, StepSums* sums);
  Slopes slopes(const Seen& seen, const at::Tensor& reconstruction, bool adversarial, StepSums& sums);
  /// lambda, from this rank's parts of both gradients by the last weight. Collective.
  at::Tensor adaptive_weight(const at::Tensor& of_distance, const at::Tensor& of_adversarial);
  void update_autoencoder(std::int64_t step, bool adversarial, const std::vector<Seen>& batches,
                          std::vector<at::Tensor>& fakes, StepSums& sums);
  void update_discriminator(const std::vector<Seen>& batches, const std::vector<at::Tensor>& fakes,
                            StepSums& sums);
  /// Counts codes, and restarts those that nothing uses. Collective.
  void look_after_codes(std::int64_t step, const std::vector<Seen>& batches, const std::vector<Pass>& passes,
                        StepSums& sums);
  void show_gradients(const Player& player) const;
  double share_of_batch() const { return 1.0 / static_cast<double>(context_.batch); }

  AutoencoderMethodOptions options_;
  MethodContext context_;
  PatchLoss loss_;
  ReconstructionLoss distance_;
  std::shared_ptr<Autoencoder> network_;
  std::shared_ptr<PatchDiscriminator> discriminator_;
  Player player_, discriminator_player_;
  std::optional<CodeUsage> usage_;
};

std::unique_ptr<MethodRecipe> make_autoencoder_recipe(const Settings& settings);

}  // namespace ganymede
