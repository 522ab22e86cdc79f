#pragma once

#include "models/encoders/projection_networks.h"
#include "models/gan/style_generator.h"
#include "models/method.h"

namespace ganymede {

/// All but the generator's options and the method's own.
struct EncodingOptions {
  EncoderNetworkOptions networks;
  OptimizerOptions encoder{.lr = 2e-4, .beta1 = 0.5}, generator{.lr = 2e-4, .beta1 = 0.5},
      discriminator{.lr = 2e-4, .beta1 = 0.5};

  void describe(OptionSchema& schema);
  /// Throws Error(options) where options do not fit together, or not with the generator.
  void check(const std::string& name, const GanNetworks& networks) const;
};

/// The networks of a method that encodes.
struct EncodingNetworks {
  std::shared_ptr<ImageEncoder> encoder;
  std::shared_ptr<Generator> generator;
  std::shared_ptr<Network> discriminator;
};

/// A GAN with an encoder E beside generator G and discriminator D: what BiGAN, VAE/GAN and the adversarial
/// autoencoder share. A step takes one global batch. It has phases; in a phase each micro-batch runs through the
/// networks once, and each player that learns there has a loss of its own of it: its gradient is that of its loss with
/// respect to its weights alone, at the weights that all networks had when the phase began. Then all of them make
/// their update. Latents are standard normal. Images, latents and noise depend on (seed, phase, step, position in the
/// global batch) alone.
///
/// An update that is skipped leaves its player's weights and buffers.
class EncodingMethod : public Method {
 public:
  std::vector<Player*> players() override { return {&encoder_, &generator_, &discriminator_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int ranks) const override;
  void initialise() override;
  StepReport step(std::int64_t step, const NextBatch& next) override;
  std::unique_ptr<Sampler> sampler(const SampleOptions& options) override;
  std::unique_ptr<ProjectionNetworks> projection(const SampleOptions& options) override;

 protected:
  /// How often a phase runs a network for each micro-batch; a backward for each loss that passes through it.
  struct Runs {
    std::int64_t forwards = 0, backwards = 0;
  };
  enum Role { encoding, generating, discriminating };
  struct Phase {
    const char* name;
    std::vector<Role> learners;
    std::array<Runs, 3> runs;  ///< by role
  };
  /// This rank's images of a micro-batch, and what to run networks on them with.
  struct MicroBatch {
    const at::Tensor& images;
    at::Tensor labels;
    const ImageDraws& draws;
    const ForwardContext& forward;

    std::int64_t count() const { return images.size(0); }
  };
  /// `description` must outlive it; `make` gives new networks, for projection too.
  EncodingMethod(const GanNetworks& description, std::function<EncodingNetworks()> make,
                 const EncodingOptions& options, const MethodContext& context);

  virtual std::vector<Phase> phases() const = 0;
  /// For each learner of the phase, in its order: this rank's part of the global loss, a scalar.
  virtual std::vector<at::Tensor> losses(std::size_t phase, const MicroBatch& batch) = 0;

  /// Adds to the parts of a projection, whose networks are filled, the discriminator's features of an image.
  virtual void add_features(ProjectionNetworks::Parts& parts) const = 0;

  /// The mean over the global batch of one number an image, this rank's part: for losses.
  at::Tensor mean_of(const at::Tensor& each) const;
  /// Adds this micro-batch's part to a figure of the step.
  void report(const std::string& name, const at::Tensor& part);
  at::Tensor prior(const MicroBatch& batch) const;
  /// The latents of a posterior, shown with their noise.
  at::Tensor code_of(const LatentPosterior& posterior, const MicroBatch& batch) const;
  /// Shows what a phase begins with.
  void show_inputs(const MicroBatch& batch, const at::Tensor& z) const;

  ImageEncoder& encoder() const { return *networks_.encoder; }
  Generator& generator() const { return *networks_.generator; }
  Network& discriminator() const { return *networks_.discriminator; }
  const GanNetworks& description() const { return description_; }
  const EncodingOptions& options() const { return options_; }

 private:
  /// Makes a new network what a player's is.
  void fill(Network& network, const Player& player, bool ema) const;
  Player& player(Role role) { return *players()[role]; }
  void run_phase(std::int64_t step, std::size_t index, const Phase& phase, const std::vector<Batch>& batches);

  const GanNetworks& description_;
  EncodingOptions options_;
  MethodContext context_;
  std::function<EncodingNetworks()> make_;
  EncodingNetworks networks_;
  Player encoder_, generator_, discriminator_;
  StepReport figures_;
};

}  // namespace ganymede
