#pragma once

#include <torch/nn/module.h>

#include "core/options.h"
#include "models/image_spec.h"
#include "models/layers/exchange.h"
#include "models/layers/forward_context.h"

namespace ganymede {

/// What every network of ours has beside its modules.
class Network : public torch::nn::Module {
 public:
  /// Must be called for each network that takes part in a phase (a discriminator update, a generator update,
  /// a round of sampling), before its first forward: spectral norm iterates here, and only here, and what layers made of
  /// their weights before is forgotten. Without `update_buffers` no buffer changes.
  void begin_phase(bool update_buffers);
  /// Of one forward in training of a micro-batch that `ranks` ranks share, a layer each. Here: its batch norms'.
  virtual std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const;
  /// The standing statistics of all batch norms in one flat tensor, to be summed over ranks.
  at::Tensor standing_sums() const;
  /// Makes the running averages the mean over `passes` forwards in BatchNormMode::standing.
  void adopt_standing(const at::Tensor& sums, double passes);
};

/// z [N, latent_size()], labels int64 [N] -> images [N, C, H, W] in (-1, 1). Networks whose ImageSpec asks for an
/// embedding are given that in the place of labels, [N, E] of the weights' type; discriminators too.
class Generator : public Network {
 public:
  virtual at::Tensor forward(const at::Tensor& z, const at::Tensor& labels,
                             const ForwardContext& context) = 0;
  virtual std::int64_t latent_size() const = 0;
};

/// images [N, C, H, W], labels int64 [N] -> logits [N], high for real.
class Discriminator : public Network {
 public:
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& labels,
                             const ForwardContext& context) = 0;
};

/// Which of the networks look at labels.
struct GanConditioning {
  bool generator = false, discriminator = false;
};

/// A pair of networks and its options, chosen by name.
class GanNetworks {
 public:
  virtual ~GanNetworks() = default;
  virtual void describe(OptionSchema& schema) = 0;
  /// Throws Error(options) where single options are in range but do not fit together.
  virtual void check() const = 0;
  /// The same of what mixes images and the size of the micro-batch.
  virtual void check_batch(std::int64_t /*micro_batch*/) const {}
  virtual std::shared_ptr<Generator> generator() const = 0;
  virtual std::shared_ptr<Discriminator> discriminator() const = 0;
  /// How each network's weights begin (models/layers/initialise.h).
  virtual std::string initialisation() const = 0;
  virtual ImageSpec images() const = 0;
  virtual GanConditioning conditioning() const { return {images().classes > 1, images().classes > 1}; }
  /// What to set so that G sees all of z as it is drawn; empty where it does.
  virtual std::string setting_for_plain_latent() const { return ""; }
  /// What to set so that D has no batch norm; empty where it has none.
  virtual std::string setting_without_batch_norm() const { return ""; }
  /// Whether all layers are equalised: a head's is then too.
  virtual bool equalised() const { return false; }
  /// F, where D leaves features [N, F] in ForwardContext::features; 0 where it does not.
  virtual std::int64_t feature_size() const { return 0; }
  /// Of networks that grow: the same as they are at a resolution, before which its layers are not there. Null for all
  /// others. Throws Error(options) where their options fix a stage.
  virtual std::unique_ptr<GanNetworks> grown_to(std::int64_t /*resolution*/) const { return nullptr; }
  /// Whether D is an autoencoder, whose logit of an image is minus its reconstruction error.
  virtual bool autoencodes() const { return false; }
  /// Whether G is a StyleGenerator (models/gan/style_generator.h).
  virtual bool has_styles() const { return false; }
};

/// The names in the table.
std::vector<std::string> gan_network_names();
/// Throws Error(options) that lists the names.
std::unique_ptr<GanNetworks> make_gan_networks(const std::string& name);

}  // namespace ganymede
