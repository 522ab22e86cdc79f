#pragma once

#include "models/method.h"

namespace ganymede::test {

/// A run of denoising diffusion: a narrow UNet at 8x8, with attention, dropout, classes and labels left out, on
/// synthetic images.
struct SmallDenoiserOptions {
  std::int64_t batch = 6;
  std::int64_t accumulate = 1;
  std::map<std::string, std::string> options = {};  ///< on top of the narrow network's
  at::ScalarType dtype = at::kDouble;
  std::optional<at::ScalarType> activations = std::nullopt;
  bool shard_optimizer = false;
  bool few_images = false;  ///< the batch begins again with the same images in each step
};

class SmallDenoiser {
 public:
  static constexpr std::int64_t classes = 3, resolution = 8, channels = 2;

  /// The communicator must outlive it.
  SmallDenoiser(const SmallDenoiserOptions& options, Communicator& gradients);

  Method& method() { return *method_; }
  Player& player() { return *method_->players()[0]; }
  /// The next steps; collective. Returns each step's loss, this rank's part.
  std::vector<double> train(std::int64_t steps);
  /// Those of synthetic images first, first + 1, ..., as Batch has them; undefined where none are asked for.
  static at::Tensor captions(const ImageSpec& spec, std::int64_t first, std::int64_t count);
  /// A copy of every tensor of the player and the method. Collective if it is sharded.
  NamedTensors state();
  /// [count, channels, H, W] float64: what goes with images first, ... where these have sources.
  at::Tensor sources(std::int64_t first, std::int64_t count) const;
  /// Goes on where another run's `state` was taken.
  void restore(const NamedTensors& state, std::int64_t step);

 private:
  Batch next();

  SmallDenoiserOptions options_;
  std::unique_ptr<MethodRecipe> recipe_;
  std::int64_t micro_batch_;
  int rank_, size_;
  std::unique_ptr<Method> method_;
  std::int64_t step_ = 0, position_ = 0;
};

/// The recipe of such a run; throws what its options are refused with. With "train.method" = noisy_classifier a narrow
/// classifier of the same images.
std::unique_ptr<MethodRecipe> small_denoiser_recipe(const std::map<std::string, std::string>& options);

}  // namespace ganymede::test
