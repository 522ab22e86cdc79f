#pragma once

#include "models/translation/patch_loss.h"
#include "models/translation/step_sums.h"
#include "models/translation/translation_options.h"
#include "models/translation/unet_translator.h"

namespace ganymede {

struct Pix2PixOptions {
  TranslationOptions shared{.section = "pix2pix", .discriminator_factor = 0.5};
  UnetTranslatorOptions unet;  ///< its channels are those of `shared`
  double l1 = 100;
  std::int64_t batch_norm_group = 0;
  bool sampler_dropout = true;

  void describe(OptionSchema& schema);
  void check(const GanLoss& loss, std::int64_t micro_batch) const;
  UnetTranslatorOptions generator() const;
  PatchDiscriminatorOptions discriminator() const;
};

/// pix2pix (Isola et al., arXiv 1611.07004): G makes an image of a source x, D sees an image beside its source. A step is
/// an update of D and then one of G, on the same global batch of pairs (x, y) and, of G as it is before them, on the
/// same G(x):
///
///     D: discriminator_factor (loss_D(D(x, y), D(x, G(x))))
///     G: adversarial loss_G(D(x, G(x))) + l1 |y - G(x)|_1
///
/// with a loss of gan/loss.h for each patch (equation 1 is gan.loss = logistic, whose G maximises log D), and the mean of
/// absolute differences (equation 3). Noise comes in as dropout alone, by (seed, step, position in the global batch).
/// With accumulate = 1 one forward of G serves both updates; else the second makes it again, for its maps would be many.
class Pix2PixMethod final : public Method {
 public:
  /// `loss` must outlive it.
  Pix2PixMethod(const Pix2PixOptions& options, const GanLoss& loss, const MethodContext& context);

  std::vector<Player*> players() override { return {&generator_player_, &discriminator_player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;

 private:
  /// A micro-batch of pairs in both updates.
  struct Pairs {
    at::Tensor source, image;
    at::Tensor fake;  ///< with its graph where that serves G's update
    ForwardContext forward;
  };
  bool keeps_graph() const { return context_.accumulate == 1; }
  std::int64_t group() const;
  Pairs next_pairs(std::int64_t step, std::int64_t micro_step, const NextBatch& next);
  void update_discriminator(std::int64_t step, const NextBatch& next, std::vector<Pairs>& seen,
                            StepSums& sums);
  void update_generator(std::vector<Pairs>& seen, StepSums& sums);
  void show_gradients(const Player& player) const;

  Pix2PixOptions options_;
  MethodContext context_;
  PatchLoss loss_;
  std::shared_ptr<UnetTranslator> generator_;
  std::shared_ptr<PatchDiscriminator> discriminator_;
  Player generator_player_, discriminator_player_;
};

std::unique_ptr<MethodRecipe> make_pix2pix_recipe(const Settings& settings);

}  // namespace ganymede
