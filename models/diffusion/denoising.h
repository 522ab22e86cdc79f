#pragma once

#include "models/diffusion/augmentation.h"
#include "models/diffusion/diffusion_sampler.h"
#include "models/first_stages/first_stage.h"
#include "models/method.h"
#include "models/power_averages.h"

namespace ganymede {

struct DenoisingOptions {
  std::string loss = "mse";
  double label_dropout = 0;
  bool recompute = false;  ///< blocks run again for their gradients
  double augment = 0;      ///< probability of each change of models/diffusion/augmentation.h
  std::int64_t source_channels = 0;  ///< of the source that each image comes with; 0 = there are none
  double source_dropout = 0;
  TextOptions text;  ///< captions, of which text.dropout is left out
  /// Where it diffuses latents: of which autoencoder. A dataset then holds what `ganymede dataset encode` makes of images.
  std::optional<AutoencoderOptions> first_stage = std::nullopt;
  bool flip = false;  ///< of latents: those of the mirrored image with probability one half
  OptimizerOptions denoiser{.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .ema = 0.9999};
  /// Relative widths of averages with power functions' profiles that are kept beside (models/power_averages.h).
  std::string ema_power = "none";
  DrawOptions draw;

  void describe(OptionSchema& schema);
  DenoiserShape shape(const DiffusionProcess& process) const;
  /// Whether the network learns what images are like without label, source or caption, as guidance needs it.
  bool leaves_out() const { return label_dropout > 0 || source_dropout > 0 || text.is_left_out(); }
};

/// Denoising diffusion: a step is one update of the denoiser on a global batch. With the coefficients of the
/// process (models/diffusion/process.h) at a time drawn for each image, the loss is the mean over images of
///
///     weight |F - (target_image x_0 + target_noise eps)|^2 / (C H W)
///
/// with "l1" the absolute value in the place of the square, plus, where the variance is learned, bound_share() times the
/// term of the variational bound. Noise, times and which images go
/// without their label depend on (seed, step, position in the global batch) alone. With a first stage x_0 is a latent
/// (Rombach et al., arXiv 2112.10752, equation 2) that is drawn anew from the image's posterior each time, by the same
/// key, and samples are decoded.
///
/// With sources (to fill holes, to sharpen, to colour: Saharia et al., arXiv 2111.05826, section 3) the network sees
/// scale x_t and, in the channels after it, the image's source, [-1, 1] as it is; zeros where it is left out. With
/// captions it attends to what models/diffusion/text_condition.h makes of them. One draw an image decides what is left
/// out of label, source and caption: a rarer one goes only together with the others, so that guidance knows what it is
/// like without all.
class DenoisingMethod final : public Method {
 public:
  DenoisingMethod(const DenoiserNetwork& network, const DiffusionProcess& process,
                  const DenoisingOptions& options, const MethodContext& context);

  std::vector<Player*> players() override { return {&player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  NamedTensors state() const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;

 private:
  /// A micro-batch's part of the losses: sums over its images, over the global batch.
  struct Losses {
    at::Tensor error, bound;
  };

  DenoiserShape shape() const { return options_.shape(process_); }
  /// Of the bound's mean term in the loss: 0.001 of the sum over times (Nichol and Dhariwal, arXiv 2102.09672, equation 16).
  double bound_share() const { return 0.001 * static_cast<double>(process_.chain_length()); }
  /// Which images go without what is left out with this probability, bool [count] on the host.
  at::Tensor left_out(double probability, const RandomKey& key, std::int64_t first, std::int64_t count) const;
  /// The captions that the network is told: some left out.
  TextCondition told_text(const Batch& batch, const RandomKey& key, std::int64_t first) const;
  /// The labels that the network is told: some left out.
  at::Tensor told(const at::Tensor& labels, const RandomKey& key, std::int64_t first) const;
  /// Noisy images as the network sees them: with their sources, some left out.
  at::Tensor beside_source(const at::Tensor& x, const Batch& batch, const RandomKey& key,
                           std::int64_t first) const;
  /// What is diffused of a micro-batch, and what the network is told of changes to it.
  Augmented clean(const Batch& batch, const RandomKey& key, std::int64_t first) const;
  Losses losses(const Batch& batch, const RandomKey& key, std::int64_t first);

  const DenoiserNetwork& network_description_;
  const DiffusionProcess& process_;
  DenoisingOptions options_;
  MethodContext context_;
  std::shared_ptr<FirstStage> first_stage_;  // null: what is diffused is the images
  std::shared_ptr<Denoiser> network_;
  Player player_;
  PowerAverages averages_;
};

std::unique_ptr<MethodRecipe> make_denoising_recipe(const Settings& settings);

}  // namespace ganymede
