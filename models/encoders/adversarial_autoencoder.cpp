#include "models/encoders/adversarial_autoencoder.h"

#include <ATen/ATen.h>

#include "models/encoders/encoding_recipe.h"

namespace ganymede {
namespace {

EncodingNetworks autoencoder_networks(const GanNetworks& description, const EncodingOptions& options,
                                      const std::string& posterior) {
  EncodingNetworks networks;
  networks.generator = description.generator();
  const std::int64_t latent = networks.generator->latent_size();
  networks.encoder =
      std::make_shared<ImageEncoder>(options.networks, description.images(), latent, posterior == "gaussian");
  networks.discriminator = std::make_shared<LatentDiscriminator>(options.networks, latent);
  return networks;
}

class AdversarialAutoencoder final : public EncodingMethod {
 public:
  AdversarialAutoencoder(const GanNetworks& description, const EncodingOptions& options,
                         const std::string& posterior, const MethodContext& context)
      : EncodingMethod(
            description, [=, &description] { return autoencoder_networks(description, options, posterior); },
            options, context) {}

 protected:
  std::vector<Phase> phases() const override {
    return {{"reconstruction", {encoding, generating}, {Runs{1, 1}, Runs{1, 2}, Runs{}}},
            {"regularisation", {encoding, discriminating}, {Runs{1, 1}, Runs{}, Runs{2, 3}}}};
  }

  std::vector<at::Tensor> losses(std::size_t phase, const MicroBatch& batch) override {
    const at::Tensor code = code_of(encoder().forward(batch.images, batch.forward), batch);
    return phase == 0 ? reconstruction(batch, code) : regularisation(batch, code);
  }

  void add_features(ProjectionNetworks::Parts& parts) const override {
    parts.why_no_features = "this one looks at latents";
  }

 private:
  std::vector<at::Tensor> reconstruction(const MicroBatch& batch, const at::Tensor& code) {
    const at::Tensor again = generator().forward(code, batch.labels, batch.forward);
    const at::Tensor error = mean_of((batch.images - again).square().flatten(1).mean(1));
    show("generator.again", again);
    report("reconstruction", error);
    return {error, error};
  }

  std::vector<at::Tensor> regularisation(const MicroBatch& batch, const at::Tensor& code) {
    auto& judge = static_cast<LatentDiscriminator&>(discriminator());
    const at::Tensor z = prior(batch);
    show_inputs(batch, z);
    const at::Tensor prior_logits = judge.forward(z, batch.forward);
    const at::Tensor code_logits = judge.forward(code, batch.forward);
    show("discriminator.logits", at::cat({prior_logits, code_logits}));
    const at::Tensor e = mean_of(-at::log_sigmoid(code_logits)),
                     d = mean_of(-at::log_sigmoid(prior_logits) - at::log_sigmoid(-code_logits));
    report("loss_d", d);
    report("loss_e", e);
    report("real_logit", mean_of(prior_logits));
    report("fake_logit", mean_of(code_logits));
    return {e, d};
  }
};

class AdversarialAutoencoderRecipe final : public EncodingRecipe {
 public:
  explicit AdversarialAutoencoderRecipe(const Settings& settings)
      : EncodingRecipe("adversarial_autoencoder", settings) {}
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<AdversarialAutoencoder>(networks(), options(), posterior_, context);
  }

 private:
  void describe_own(OptionSchema& schema) override {
    schema.add("adversarial_autoencoder.posterior", posterior_, {"deterministic", "gaussian"},
               "an image's latent: the encoder's, or drawn around it");
  }
  void check_own() const override {}
  EncodingNetworks make() const override { return autoencoder_networks(networks(), options(), posterior_); }
  std::int64_t encoder_updates() const override { return 2; }

  std::string posterior_ = "deterministic";
};

}  // namespace

std::unique_ptr<MethodRecipe> make_adversarial_autoencoder_recipe(const Settings& settings) {
  return std::make_unique<AdversarialAutoencoderRecipe>(settings);
}

}  // namespace ganymede
