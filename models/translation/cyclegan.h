#pragma once

#include "models/translation/cycle_networks.h"
#include "models/translation/image_pool.h"
#include "models/translation/patch_loss.h"
#include "models/translation/step_sums.h"
#include "models/translation/translation_options.h"

namespace ganymede {

struct CycleGanOptions {
  /// gan.loss = lsgan has halves where the paper has none: it stands twice in G's loss, and D's is halved as it is. Other
  /// losses stand once, and D's is halved.
  TranslationOptions shared{.section = "cyclegan", .loss = "lsgan", .adversarial = 2};
  ResnetTranslatorOptions resnet;  ///< its channels are those of `shared`
  double cycle = 10;
  double identity = 0.5;
  std::int64_t pool = 50;
  std::string direction = "images";

  void describe(OptionSchema& schema);
  void check(const GanLoss& loss) const;
  ResnetTranslatorOptions generator() const;
  PatchDiscriminatorOptions discriminator(std::int64_t channels) const;
};

/// CycleGAN (Zhu et al., arXiv 1703.10593): G makes images y of sources x, F sources of images, D_Y and D_X tell theirs
/// from given ones, and no x belongs to a y. A step is an update of G and F and then one of both D, on the same global
/// batch, with the fakes of the first, or older ones of an ImagePool:
///
///     G, F: adversarial (loss_G(D_Y(G(x))) + loss_G(D_X(F(y)))) + cycle (|F(G(x)) - x|_1 + |G(F(y)) - y|_1)
///           + cycle identity (|G(y) - y|_1 + |F(x) - x|_1)
///     D: discriminator_factor (loss_D(D_Y(y), D_Y(G(x))) + loss_D(D_X(x), D_X(F(y))))
///
/// (equations 1 and 2, and section 5.2's identity loss; means of absolute differences).
class CycleGanMethod final : public Method {
 public:
  /// `loss` must outlive it.
  CycleGanMethod(const CycleGanOptions& options, const GanLoss& loss, const MethodContext& context);

  std::vector<Player*> players() override { return {&generator_player_, &discriminator_player_}; }
  NamedTensors state() const override;
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  /// Of G or F, as sampler.direction says.
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;

 private:
  /// A micro-batch in both updates.
  struct Unpaired {
    at::Tensor source, image;
    at::Tensor fake_source, fake_image;  ///< without a graph
    ForwardContext forward;
  };
  Unpaired next_unpaired(const NextBatch& next) const;
  /// G's and F's loss of a micro-batch, which leaves its fakes.
  at::Tensor generator_loss(Unpaired& pair, StepSums& sums);
  void update_generators(const NextBatch& next, std::vector<Unpaired>& seen, StepSums& sums);
  void draw_from_pools(std::int64_t step, std::vector<Unpaired>& seen);
  void update_discriminators(std::int64_t step, std::vector<Unpaired>& seen, StepSums& sums);
  void show_gradients(const Player& player) const;

  CycleGanOptions options_;
  MethodContext context_;
  PatchLoss loss_;
  std::shared_ptr<CycleGenerators> generators_;
  std::shared_ptr<CycleDiscriminators> discriminators_;
  Player generator_player_, discriminator_player_;
  ImagePool image_pool_, source_pool_;
};

std::unique_ptr<MethodRecipe> make_cyclegan_recipe(const Settings& settings);

}  // namespace ganymede
