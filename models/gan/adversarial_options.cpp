#include "models/gan/adversarial_options.h"

#include "core/error.h"

namespace ganymede {

void AdversarialOptions::describe(OptionSchema& schema) {
  schema.add("gan.loss", loss, gan_loss_names(), "adversarial loss");
  schema.add("gan.d_steps", d_steps, "updates", {1, 1000}, "discriminator updates a step");
  penalty.describe(schema);
  schema.add("gan.drift", drift, "", {0, 1e6}, "weight of the mean square of D's logits on real images");
  schema.add("gan.weight_clip", weight_clip, "", {0, 1e6},
             "largest size of each of D's weights, 0 for none: WGAN's clipping, 0.01 there");
  lecam.describe(schema);
  consistency.describe(schema);
  augment.describe(schema);
  path_length.describe(schema);
  top_k.describe(schema);
  schema.add("gan.feature_matching", feature_matching, "", {0, 1e6},
             "weight of feature matching in the place of G's loss, 0 for G's loss");
  schema.add("gan.historical_average", historical_average, "", {0, 1e6},
             "weight of both players' distance from the mean of their weights so far, 0 for none");
  schema.add("gan.orthogonal", orthogonal, "", {0, 1e3},
             "beta of G's orthogonal regulariser beta/2 |W W^T * (1 - I)|^2, 0 for none");
  schema.add("gan.batch_norm_group", batch_norm_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share batch-norm statistics, 0 for all");
  schema.add("gan.standing_passes", standing_passes, "batches", {1, 1e6},
             "batches averaged for standing statistics when sampling");
  ada.describe(schema);
  generator.describe(schema, "generator");
  generator.describe_average(schema, "generator");
  discriminator.describe(schema, "discriminator");
  text.describe(schema);  // last: networks that follow a text go on with its section
}

OptimizerOptions AdversarialOptions::generator_optimizer() const {
  return path_length.wanted() ? generator.with_extra_updates(path_length.every) : generator;
}

OptimizerOptions AdversarialOptions::discriminator_optimizer() const {
  const bool extra = penalty.weight > 0 && penalty.apart;
  return extra ? discriminator.with_extra_updates(penalty.every) : discriminator;
}

std::int64_t AdversarialOptions::generator_updates(std::int64_t steps) const {
  return steps + (path_length.wanted() ? (steps + path_length.every - 1) / path_length.every : 0);
}

std::int64_t AdversarialOptions::discriminator_updates(std::int64_t steps) const {
  const std::int64_t own = steps * d_steps;
  return own + (penalty.due_apart(0) ? (own + penalty.every - 1) / penalty.every : 0);
}

void AdversarialOptions::check_regularisers(const GanLossNeeds& needs, const GanNetworks& networks,
                                            std::int64_t micro_batch) const {
  if (ada.wanted() && augment.wanted())
    fail(ExitCode::options,
         "ada and gan.diff_augment are both augmentations of all that D sees: leave one of them out");
  ada.check(networks.images());
  if (ada.p > 0 && !ada.wanted())
    fail(ExitCode::options,
         "ada.p = {} with no change of images: set ada.blitting, ada.geometry, ada.color or another one, or ada.p = 0", ada.p);
  if (ada.adapts() && needs.autoencoder)
    fail(ExitCode::options,
         "ada.target with gan.loss = {}: its logits are errors, which all have one sign. Set ada.target = 0 "
         "and ada.p",
         loss);
  if (ada.adapts() && needs.relative)
    fail(ExitCode::options,
         "ada.target with gan.loss = {}: only differences of its logits count, and ada.target is of their signs. "
         "Set ada.target = 0 and ada.p",
         loss);
  if (penalty.apart && penalty.kind != "r1")
    fail(ExitCode::options,
         "gan.gradient_penalty_apart with gan.gradient_penalty_kind = {}: an update of its own is r1's, which needs "
         "no generated images. Set the kind to r1, or gan.gradient_penalty_apart = false",
         penalty.kind);
  if (!path_length.wanted()) return;
  if (!networks.has_styles())
    fail(ExitCode::options,
         "gan.path_length is a length in the space of styles, and gan.network has none: set gan.network = "
         "stylegan or stylegan2, or gan.path_length = 0");
  if (micro_batch % path_length.shrink != 0)
    fail(ExitCode::options,
         "gan.path_length_shrink = {} does not divide the micro-batch of {} images: give one of its divisors",
         path_length.shrink, micro_batch);
}

void AdversarialOptions::check(const GanLossNeeds& needs, const GanNetworks& networks,
                               std::int64_t micro_batch) const {
  generator.check("generator");
  discriminator.check("discriminator");
  check_regularisers(needs, networks, micro_batch);
  text.check(networks.images(), micro_batch);
  if (text.interpolation > 0 && (top_k.wanted() || feature_matching > 0))
    fail(ExitCode::options,
         "text.interpolation adds to G's loss, which gan.top_k and gan.feature_matching change: leave one of "
         "them out");
  if (batch_norm_group > 0 && micro_batch % batch_norm_group != 0)
    fail(ExitCode::options,
         "gan.batch_norm_group = {} does not divide the micro-batch of {} images: give one of its divisors, or 0",
         batch_norm_group, micro_batch);
  if (needs.autoencoder && !networks.autoencodes())
    fail(ExitCode::options,
         "gan.loss = {} needs a reconstruction error, and the discriminator of gan.network is no "
         "autoencoder: set gan.network = autoencoding, or choose another loss",
         loss);
  if ((needs.features || feature_matching > 0) && networks.feature_size() == 0)
    fail(ExitCode::options,
         "{} needs the discriminator's features, and that of gan.network shows none: choose another network",
         needs.features ? "gan.loss = " + loss : "gan.feature_matching");
  if (top_k.wanted() && needs.real_for_generator)
    fail(ExitCode::options,
         "gan.top_k < 1 with gan.loss = {}: top-k ranks generated images by logits of their own, and this "
         "loss knows only those relative to real images. Set gan.top_k = 1 or choose another loss",
         loss);
  if (needs.features && feature_matching > 0)
    fail(ExitCode::options,
         "gan.feature_matching takes the place of G's loss, of which ebgan.pull_away is a part: set one of them to 0");
  if (top_k.wanted() && feature_matching > 0)
    fail(ExitCode::options,
         "gan.top_k < 1 with gan.feature_matching: that compares whole batches. Set one of them to its "
         "default");
}

}  // namespace ganymede
