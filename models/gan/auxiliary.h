#pragma once

#include "models/gan/latent_codes.h"
#include "models/gan/loss.h"
#include "models/gan/network.h"

namespace ganymede {

/// What D's head says of N images of this rank, and what it should.
struct AuxiliaryView {
  at::Tensor outputs;  ///< [N, K], of the weights' type
  at::Tensor labels;   ///< int64 [N]
  at::Tensor z;        ///< [N, latent] of generated images
};

/// A second task for D, which a linear head on its features answers with K numbers an image: its costs are added to
/// the adversarial loss of both players. The method averages what it gives, one number an image [N], over the global
/// batch.
class GanAuxiliary {
 public:
  virtual ~GanAuxiliary() = default;
  /// Options are in the section of its name.
  virtual void describe(OptionSchema& schema) = 0;
  /// Throws Error(options) where it is not defined for these networks or this loss.
  virtual void check(const GanNetworks& networks, const GanLoss& loss) const = 0;
  /// K.
  virtual std::int64_t outputs(const GanNetworks& networks) const = 0;
  /// D's logits [N] where the head has a say in them.
  virtual at::Tensor verdict(const at::Tensor& logits, const at::Tensor& /*outputs*/) const { return logits; }
  /// D's cost of a real image and a generated one, weighted.
  virtual at::Tensor discriminator(const AuxiliaryView& real, const AuxiliaryView& fake) const = 0;
  /// G's of a generated one; undefined for none.
  virtual at::Tensor generator(const AuxiliaryView& fake) const = 0;
  /// What D's updates report, one number an image [N].
  virtual std::vector<std::pair<std::string, at::Tensor>> figures(const AuxiliaryView& real,
                                                                  const AuxiliaryView& fake) const = 0;
  /// The part of z that has a meaning.
  virtual LatentCodes codes() const { return {}; }
};

/// Cross-entropy [N] in nats of labels int64 [N] under softmax(outputs) [N, K].
at::Tensor class_entropy(const at::Tensor& outputs, const at::Tensor& labels);
/// 1 where the largest of an image's outputs is its label's, else 0: float64 [N].
at::Tensor class_hits(const at::Tensor& outputs, const at::Tensor& labels);
/// Throws Error(options) unless the networks have classes, and D is not told what it should find out.
void check_class_head(const std::string& name, const GanNetworks& networks);

/// The names in the table, and first "none".
std::vector<std::string> gan_auxiliary_names();
/// Null for "none". Throws Error(options) that lists the names.
std::unique_ptr<GanAuxiliary> make_gan_auxiliary(const std::string& name);

}  // namespace ganymede
