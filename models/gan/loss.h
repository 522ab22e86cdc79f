#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/options.h"
#include "distributed/synchronised_moments.h"

namespace ganymede {

/// D's verdict on this rank's N images of a micro-batch. A discriminator that is an autoencoder gives minus
/// its reconstruction error as an image's logit.
struct GanLogits {
  at::Tensor real;           ///< [N]; in G's update only where GanLossNeeds::real_for_generator
  at::Tensor fake;           ///< [N]
  at::Tensor fake_features;  ///< [N, F] of D, in G's update and where GanLossNeeds::features
  at::Tensor state;          ///< GanLoss::initial_state() as advance() has left it
  Communicator& communicator;
  GroupLayout layout;  ///< which images of the micro-batch these are

  /// Real and fake logits' means [2] over the micro-batch, wherever its images lie; differentiable.
  /// Collective, in every backward too.
  at::Tensor means() const;
};

/// What a loss asks for beside logits, and what those are to it.
struct GanLossNeeds {
  bool real_for_generator = false;  ///< real logits in G's update: a step takes one batch more
  bool means = false;               ///< it calls GanLogits::means() once in either update
  bool autoencoder = false;         ///< logits that are minus an autoencoder's error
  bool probabilities = false;       ///< sigma(logit) is the probability that D gives an image of being real
  bool relative = false;            ///< only differences of logits count: their signs say nothing
  bool bounded_slope = false;       ///< its value is a distance only where D's slope is bounded
  bool features = false;            ///< it calls gather_rows() for the fakes' features once in G's update
};

/// An adversarial loss. The method averages what it gives, one number an image [N], over the global batch.
class GanLoss {
 public:
  virtual ~GanLoss() = default;
  /// Options are in the section of the loss's name.
  virtual void describe(OptionSchema& /*schema*/) {}
  /// Throws Error(options) where single options are in range but do not fit together.
  virtual void check() const {}
  virtual GanLossNeeds needs() const { return {}; }
  virtual at::Tensor discriminator(const GanLogits& logits) const = 0;
  virtual at::Tensor generator(const GanLogits& logits) const = 0;
  /// What it remembers from update to update (float64, part of checkpoints); undefined for nothing.
  virtual at::Tensor initial_state() const { return {}; }
  /// After each of D's updates: `means` [2] float64 of its real and fake logits over the global batch.
  virtual void advance(at::Tensor& /*state*/, const at::Tensor& /*means*/) const {}
};

/// The names in the table.
std::vector<std::string> gan_loss_names();
/// Throws Error(options) that lists the names.
std::unique_ptr<GanLoss> make_gan_loss(const std::string& name);

}  // namespace ganymede
