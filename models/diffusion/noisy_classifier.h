#pragma once

#include "models/classifier_guidance.h"
#include "models/diffusion/denoiser.h"
#include "models/diffusion/process.h"
#include "models/method.h"

namespace ganymede {

/// x [N, C, H, W], condition [N] (the process's figure of the noise) -> logits [N, classes] of the weights' type.
class ClassifierNetwork : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& condition,
                             const DenoiserContext& context) = 0;
  /// Draws weights from (seed, name of the tensor) alone.
  virtual void initialise(std::uint64_t seed) = 0;
};

/// What a NoisyClassifierMethod trains.
struct ClassifierDescription {
  ImageSpec images;
  std::function<std::shared_ptr<ClassifierNetwork>()> build;
};

/// Trains a classifier p(y | x_t) for classifier guidance (Dhariwal and Nichol, arXiv 2105.05233, section 4): a step
/// is an update by the mean cross-entropy, in nats, of the global batch's images, each at a time and with noise that are
/// drawn as a diffusion model's are (models/diffusion/noisy_images.h). The network sees scale x_t and the process's
/// condition, as a denoiser does. It reports "loss", and "accuracy": how much of the batch it takes for what it is.
class NoisyClassifierMethod final : public Method, public ClassifierTraining {
 public:
  /// `process` must outlive it.
  NoisyClassifierMethod(ClassifierDescription network, const DiffusionProcess& process,
                        const OptimizerOptions& options, const MethodContext& context);

  std::vector<Player*> players() override { return {&player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  /// Throws Error(options): a classifier draws nothing.
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;
  std::shared_ptr<NoisyClassifier> classifier() override;

 private:
  ClassifierDescription description_;
  const DiffusionProcess& process_;
  MethodContext context_;
  std::shared_ptr<ClassifierNetwork> network_;
  Player player_;
};

std::unique_ptr<MethodRecipe> make_noisy_classifier_recipe(const Settings& settings);

}  // namespace ganymede
