#include "models/gan/adversarial_options.h"

#include "models/gan/loss.h"

namespace ganymede {

void AdversarialOptions::describe(OptionSchema& schema) {
  schema.add("gan.loss", loss, gan_loss_names(), "adversarial loss");
  schema.add("gan.d_steps", d_steps, "updates", {1, 1000}, "discriminator updates a step");
  schema.add("gan.gradient_penalty", penalty.weight, "", {0, 1e6},
             "weight of the gradient penalty, 0 for none");
  schema.add("gan.gradient_penalty_kind", penalty.kind, {"wgan-gp", "r1"},
             "where and how D's gradient is penalised");
  schema.add("gan.orthogonal", orthogonal, "", {0, 1e3},
             "beta of G's orthogonal regulariser beta/2 |W W^T * (1 - I)|^2, 0 for none");
  schema.add("gan.batch_norm_group", batch_norm_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share batch-norm statistics, 0 for all");
  schema.add("gan.standing_passes", standing_passes, "batches", {1, 1e6},
             "batches averaged for standing statistics when sampling");
  generator.describe(schema, "generator");
  generator.describe_average(schema, "generator");
  discriminator.describe(schema, "discriminator");
}

}  // namespace ganymede
