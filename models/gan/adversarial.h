#pragma once

#include "models/gan/adversarial_options.h"
#include "models/gan/auxiliary_terms.h"
#include "models/gan/regularisers/historical_average.h"
#include "models/method.h"

namespace ganymede {

struct AdversarialLosses;

/// Where networks that grow have got to.
struct GrowthState {
  double alpha = 1;          ///< how far the newest resolution is faded in
  std::int64_t enlarge = 1;  ///< samples repeat each pixel so many times along each axis
};

/// Adversarial training: a step is d_steps updates of the discriminator, each on a fresh global batch and
/// fresh fakes, then one update of the generator. Every network that takes part in an update iterates its
/// spectral norm once there. Where G's loss compares with real images, its update takes a batch of its own.
/// An update that is skipped changes nothing but the guard: buffers stay, and so does what the loss
/// and the regularisers remember.
///
/// With DiffAugment all that D sees is augmented, and its penalties look at the augmented images. So it is with ADA, but
/// that R1 is taken through the augmentation: its gradient is that with respect to the images in the dataset.
///
/// A regulariser may have updates of its own after the others, for which its player's rate and moments' decays are
/// corrected (lazy regularisation, see OptimizerOptions::with_extra_updates).
class AdversarialMethod final : public Method {
 public:
  /// `networks`, `loss` and `auxiliary`, which may be null, must outlive it.
  AdversarialMethod(const GanNetworks& networks, const GanLoss& loss, const GanAuxiliary* auxiliary,
                    const AdversarialOptions& options, const MethodContext& context);

  std::vector<Player*> players() override { return {&generator_player_, &discriminator_player_}; }
  NamedTensors state() const override;
  std::int64_t batches_per_step() const override {
    return options_.d_steps + (generator_sees_real() ? 1 : 0);
  }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;
  std::unique_ptr<ProjectionNetworks> projection(const SampleOptions& options) override;

  /// Of what follows, until the next call.
  void set_growth(const GrowthState& growth);
  /// Takes over whatever tensors of `before` have a name and shape here, but for the optimisers' moments.
  void take_over(AdversarialMethod& before);

 private:
  /// `labels` of networks that follow a text: its embeddings.
  struct Latents {
    at::Tensor z, labels;
  };
  /// Embeddings of a micro-batch's images, and of others: what images are drawn from in G's update.
  struct Texts {
    at::Tensor own, other;
  };
  using Losses = AdversarialLosses;

  bool generator_sees_real() const {
    return loss_.needs().real_for_generator || options_.feature_matching > 0;
  }
  ImageDraws draws_of(const RandomKey& key, const Share& share, std::int64_t micro_step) const;
  Latents draw_latents(const ImageDraws& draws) const;
  bool follows_text() const { return networks_.images().embedding > 0; }
  /// What D is told of real images: labels, or the embeddings of their texts.
  at::Tensor condition_of(const Batch& batch) const;
  /// Embeddings as networks take them.
  at::Tensor as_condition(const at::Tensor& embeddings) const;
  /// The further term of G's loss where texts are interpolated, of a micro-batch.
  at::Tensor interpolated_loss(const at::Tensor& z, const Texts& texts, const at::Tensor& real_logits,
                               const ImageDraws& draws, const ForwardContext& forward);
  /// Images that share batch-norm statistics.
  std::int64_t group() const;
  ForwardContext forward_context(const Share& share, const ImageDraws& draws) const;
  void update_discriminator(std::int64_t step, std::int64_t sub_step, const NextBatch& next, Losses& losses);
  void update_generator(std::int64_t step, const NextBatch& next, Losses& losses);
  /// What D's loss has beside its adversarial part, of a micro-batch: regularisers and the gradient penalty.
  at::Tensor discriminator_terms(std::int64_t update, const JudgedImages& judged,
                                 const at::Tensor& changed_fake, const ImageDraws& draws,
                                 const ForwardContext& forward, Losses& losses);
  /// G's images as D sees them.
  at::Tensor generate(const at::Tensor& z, const at::Tensor& labels, const ImageDraws& draws,
                      const ForwardContext& forward);
  /// D's logits of a batch of real images in G's update, for which D's weights are constants.
  at::Tensor judge_real(const Batch& batch, const ImageDraws& draws, const ForwardContext& forward);
  /// Images as D sees them. `side` tells streams apart: "real", "fake".
  at::Tensor augmented(const at::Tensor& images, const ImageDraws& draws, const std::string& side);
  /// A micro-batch's part of D's gradient penalty, times the updates between evaluations.
  at::Tensor penalty_term(const JudgedImages& judged, const ImageDraws& draws, const ForwardContext& forward,
                          Losses& losses);
  /// Lazy regularisation's own updates: D's by its penalty on the batch of an update, G's by path length.
  void penalise_apart(RandomKey key, const std::vector<Batch>& batches, Losses& losses);
  void shorten_paths(std::int64_t step, Losses& losses);
  void report_regularisers(const Losses& losses, StepReport& report) const;
  /// This rank's sums [3] of D's real and fake logits and of the real ones' signs in an update, for what follows them.
  void follow_logits(std::int64_t update, at::Tensor sums);
  /// What depends on the maps of several images.
  CollectiveCost mixing_cost(int ranks) const;
  /// What depends on the logits of several images.
  CollectiveCost logits_cost() const;
  /// What surrounds an update of `player`, the buffers of both: see Player::keep_buffers.
  void begin_update(Player& player);
  void finish_update(Player& player, bool averages_follow = true);
  /// The same of an update that the network of one player takes part in.
  void begin_own_update(Player& player, Network& network);
  /// As "<player>.gradient.<parameter>": what update() is about to use.
  void show_gradients(const Player& player) const;

  const GanNetworks& networks_;
  AdversarialOptions options_;
  MethodContext context_;
  const GanLoss& loss_;
  at::Tensor fade_;  // ForwardContext::fade; undefined where nothing is faded in
  std::int64_t enlarge_ = 1;
  std::vector<Texts> texts_;  // by micro-batch, of D's last update
  at::Tensor loss_state_;     // of the loss; undefined for nothing
  AuxiliaryTerms auxiliary_;
  LeCam lecam_;
  AdaProbability ada_;
  PathLength path_length_;
  std::shared_ptr<Generator> generator_;
  std::shared_ptr<Discriminator> discriminator_;
  Player generator_player_, discriminator_player_;
  HistoricalAverage generator_history_, discriminator_history_;
};

}  // namespace ganymede
