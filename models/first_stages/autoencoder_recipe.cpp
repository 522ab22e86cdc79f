#include "core/error.h"
#include "models/first_stages/autoencoder_method.h"
#include "models/translation/translation_options.h"

namespace ganymede {

void AutoencoderMethodOptions::describe(OptionSchema& schema) {
  schema.add("gan.loss", loss, gan_loss_names(), "adversarial loss, of each patch");
  network.describe(schema);
  reconstruction.describe(schema);
  schema.add("reconstruction.kl", kl, "", {0, 1e6},
             "weight of the divergence of first_stage.latent = kl from N(0, I)");
  schema.add("reconstruction.commitment", commitment, "", {0, 1e6},
             "of first_stage.latent = vq: weight of how far latents are from their codes, for the encoder");
  schema.add("reconstruction.codebook", codebook, "", {0, 1e6}, "the same, for the codes");
  schema.add("reconstruction.restart_every", restart_every, "steps", {0, 1e9},
             "between looks at which codes nothing used: they become latents of the batch; 0 for never");
  schema.add("reconstruction.adversarial", adversarial, "", {0, 1e6},
             "weight of the adversarial loss, beside the adaptive one; 0 for no discriminator");
  schema.add("reconstruction.adversarial_from", adversarial_from, "step", {1, 1e12},
             "the first in which the discriminator takes part");
  schema.add("reconstruction.most_adaptive", most_adaptive, "", {0, 1e12},
             "most that the adaptive weight may be");
  schema.add("reconstruction.discriminator_factor", discriminator_factor, "", {1e-6, 1e6},
             "of the discriminator's loss");
  patches.describe(schema, "reconstruction");
  autoencoder.describe(schema, "autoencoder");
  autoencoder.describe_average(schema, "autoencoder");
  discriminator.describe(schema, "discriminator");
}

void AutoencoderMethodOptions::check(const GanLoss& made) const {
  const CoderOptions& coder = network.coder;
  network.check();
  reconstruction.check(coder.image_channels, coder.resolution);
  made.check();
  PatchLoss::check(loss, made);
  patches.check("reconstruction", coder.resolution, coder.resolution);
  autoencoder.check("autoencoder");
  discriminator.check("discriminator");
  if (restart_every > 0 && !network.quantises())
    fail(ExitCode::options,
         "reconstruction.restart_every = {}: first_stage.latent = kl has no codes, leave it out",
         restart_every);
}

PatchDiscriminatorOptions AutoencoderMethodOptions::judge() const {
  PatchDiscriminatorOptions judge = patches;
  judge.channels = network.coder.image_channels;
  return judge;
}

namespace {

class AutoencoderRecipe final : public MethodRecipe {
 public:
  explicit AutoencoderRecipe(const Settings& settings) {
    options_.loss = chosen_loss(settings, options_.loss);
    loss_ = make_gan_loss(options_.loss);
  }
  void describe(OptionSchema& schema) override {
    options_.describe(schema);
    loss_->describe(schema);
  }
  void check(std::int64_t /*micro_batch*/) const override { options_.check(*loss_); }
  void check_sampling(const SampleOptions& options) const override {
    if (options.truncation > 0)
      fail(ExitCode::options, "--truncation is of a GAN's z, and a reconstruction draws none: leave it out");
    if (options.psi != 1)
      fail(ExitCode::options, "--psi is of a GAN's styles, and an autoencoder has none: leave it out");
    if (options.batch_norm != "running")
      fail(ExitCode::options, "--batchnorm {}: this network has no batch norm", options.batch_norm);
  }
  std::vector<std::string> warnings(std::int64_t steps) const override {
    const std::int64_t judged = std::max<std::int64_t>(steps - options_.adversarial_from + 1, 0);
    std::vector<std::string> all{options_.reconstruction.warning(),
                                 options_.autoencoder.warning("autoencoder", steps),
                                 options_.discriminator.warning("discriminator", judged)};
    std::erase(all, "");
    return all;
  }
  ImageSpec images() const override { return options_.network.images(); }
  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const auto [trunk, heads] = Lpips::parameter_counts();
    return {{"autoencoder", count_parameters(Autoencoder(options_.network))},
            {"discriminator", count_parameters(PatchDiscriminator(options_.judge()))},
            {"lpips_trunk", trunk},
            {"lpips_heads", heads}};
  }
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<AutoencoderMethod>(options_, *loss_, context);
  }

 private:
  AutoencoderMethodOptions options_;
  std::unique_ptr<GanLoss> loss_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_autoencoder_recipe(const Settings& settings) {
  return std::make_unique<AutoencoderRecipe>(settings);
}

}  // namespace ganymede
