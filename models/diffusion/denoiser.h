#pragma once

#include <torch/nn/module.h>

#include <optional>

#include "core/options.h"
#include "models/diffusion/text_condition.h"
#include "models/image_spec.h"
#include "models/layers/dropout.h"

namespace ganymede {

/// What a forward is handed beside its arguments.
struct DenoiserContext {
  /// The type of maps between layers; without one, that of the weights.
  std::optional<at::ScalarType> activations = std::nullopt;
  /// Where dropout draws from; without, nothing is dropped.
  std::optional<LayerDraws> draws = std::nullopt;
  /// For a network that was built to be told them.
  TextCondition text = {};
  /// What was done to the images, [N, figures] as models/diffusion/augmentation.h has them; undefined: nothing.
  at::Tensor augmentation = {};
  /// Whether blocks run again for their gradients, in the place of keeping maps (models/layers/recomputed.h).
  bool recompute = false;

  const LayerDraws* layer_draws() const { return draws ? &*draws : nullptr; }
};

/// x [N, C, H, W], condition [N] (the process's figure of the noise), labels int64 [N] -> [N, out, H, W] of the
/// weights' type. The label after the last class, if the network was built with it, stands for none. C counts the
/// channels of a source that the noisy image stands beside.
class Denoiser : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                             const DenoiserContext& context) = 0;
  /// Draws weights from (seed, name of the tensor) alone.
  virtual void initialise(std::uint64_t seed) = 0;
};

/// What the method asks of a network.
struct DenoiserShape {
  bool without_label = false;     ///< one label more than there are classes
  bool learned_variance = false;  ///< twice as many channels out as an image has
  std::int64_t source_channels = 0;  ///< that come in after the image's
  TextOptions text = {};             ///< what it is told of captions
  std::int64_t augmentation = 0;     ///< figures that it is told of what was done to an image
};

/// A network with its options, chosen by name.
class DenoiserNetwork {
 public:
  virtual ~DenoiserNetwork() = default;
  virtual void describe(OptionSchema& schema) = 0;
  /// Throws Error(options) where single options are in range but do not fit together.
  virtual void check() const = 0;
  virtual std::shared_ptr<Denoiser> build(const DenoiserShape& shape) const = 0;
  virtual ImageSpec images() const = 0;
  /// Whether it can be told captions.
  virtual bool takes_text() const { return false; }
  /// Whether it can be told how an image was augmented.
  virtual bool takes_augmentation() const { return false; }
};

/// The names in the table.
std::vector<std::string> denoiser_names();
/// Throws Error(options) that lists the names.
std::unique_ptr<DenoiserNetwork> make_denoiser_network(const std::string& name);

}  // namespace ganymede
