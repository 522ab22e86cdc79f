#pragma once

#include "models/gan/loss.h"
#include "models/method.h"
#include "models/translation/patch_discriminator.h"

namespace ganymede {

/// What pix2pix and CycleGAN have in common. Options are in the section of the method's name.
struct TranslationOptions {
  std::string section;
  std::string loss = "logistic";
  std::int64_t height = 256, width = 256, image_channels = 3, source_channels = 3;
  double adversarial = 1;  ///< weight of G's adversarial loss
  /// Of D's loss, which both papers halve, so that D learns more slowly than G.
  double discriminator_factor = 1;
  PatchDiscriminatorOptions patches = {};
  OptimizerOptions generator{.lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8};
  OptimizerOptions discriminator{.lr = 2e-4, .beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8};

  /// Adds gan.loss and the section's options; the players' come after all of the section.
  void describe(OptionSchema& schema);
  void describe_players(OptionSchema& schema);
  /// Throws Error(options) where options do not fit together.
  void check(const GanLoss& made) const;
  /// Throws Error(options) for what belongs to a z, or to `norm` = batch where that is another.
  void check_sampling(const SampleOptions& options, const std::string& norm) const;
  std::vector<std::string> warnings(std::int64_t steps) const;
  ImageSpec images(SourceImages sources) const;
};

/// The name of the loss that `settings` choose, or this.
std::string chosen_loss(const Settings& settings, const std::string& by_default);

/// The parameters of a network built without memory.
std::int64_t count_parameters(const torch::nn::Module& network);

}  // namespace ganymede
