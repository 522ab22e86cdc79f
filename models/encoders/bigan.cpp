#include "models/encoders/bigan.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/encoders/encoding_recipe.h"

namespace ganymede {
namespace {

EncodingNetworks bigan_networks(const GanNetworks& description, const EncodingOptions& options,
                                const std::string& posterior) {
  EncodingNetworks networks;
  networks.generator = description.generator();
  const std::int64_t latent = networks.generator->latent_size();
  networks.encoder =
      std::make_shared<ImageEncoder>(options.networks, description.images(), latent, posterior == "gaussian");
  networks.discriminator =
      std::make_shared<JointDiscriminator>(options.networks, description.images(), latent);
  return networks;
}

class Bigan final : public EncodingMethod {
 public:
  Bigan(const GanNetworks& description, const EncodingOptions& options, const std::string& posterior,
        const MethodContext& context)
      : EncodingMethod(
            description, [=, &description] { return bigan_networks(description, options, posterior); },
            options, context) {}

 protected:
  std::vector<Phase> phases() const override {
    // D judges two batches: both for itself, the generated one for G. E's loss does not pass D's batch norms, which
    // look at the images.
    return {{"bigan", {encoding, generating, discriminating}, {Runs{1, 1}, Runs{1, 1}, Runs{2, 3}}}};
  }

  std::vector<at::Tensor> losses(std::size_t /*phase*/, const MicroBatch& batch) override {
    auto& judge = static_cast<JointDiscriminator&>(discriminator());
    const at::Tensor z = prior(batch);
    show_inputs(batch, z);
    const at::Tensor fake = generator().forward(z, batch.labels, batch.forward);
    const at::Tensor code = code_of(encoder().forward(batch.images, batch.forward), batch);
    const at::Tensor real_logits = judge.forward(batch.images, code, batch.forward);
    const at::Tensor fake_logits = judge.forward(fake, z, batch.forward);
    show("generator.fake", fake);
    show("discriminator.logits", at::cat({real_logits, fake_logits}));
    const at::Tensor e = mean_of(-at::log_sigmoid(-real_logits)), g = mean_of(-at::log_sigmoid(fake_logits)),
                     d = mean_of(-at::log_sigmoid(real_logits) - at::log_sigmoid(-fake_logits));
    report("loss_d", d);
    report("loss_g", g);
    report("loss_e", e);
    report("real_logit", mean_of(real_logits));
    report("fake_logit", mean_of(fake_logits));
    return {e, g, d};
  }

  void add_features(ProjectionNetworks::Parts& parts) const override {
    parts.features = [judge = static_cast<JointDiscriminator*>(parts.discriminator.get()),
                      encoder = parts.encoder.get()](const at::Tensor& x, const at::Tensor& /*labels*/,
                                                     const ForwardContext& context) {
      at::Tensor features;
      ForwardContext judging = context;
      judging.features = &features;
      judge->forward(x, encoder->forward(x, context).mean, judging);
      return features;
    };
  }
};

class BiganRecipe final : public EncodingRecipe {
 public:
  explicit BiganRecipe(const Settings& settings) : EncodingRecipe("bigan", settings) {}
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<Bigan>(networks(), options(), posterior_, context);
  }

 private:
  void describe_own(OptionSchema& schema) override {
    schema.add("bigan.posterior", posterior_, {"deterministic", "gaussian"},
               "an image's latent: the encoder's (BiGAN), or drawn around it (ALI)");
  }
  void check_own() const override {
    if (networks().conditioning().generator)
      fail(ExitCode::options,
           "train.method = bigan: its encoder and discriminator are not told the class, and the generator of "
           "gan.network = {} is: choose one without conditioning",
           network_name());
  }
  EncodingNetworks make() const override { return bigan_networks(networks(), options(), posterior_); }

  std::string posterior_ = "deterministic";
};

}  // namespace

std::unique_ptr<MethodRecipe> make_bigan_recipe(const Settings& settings) {
  return std::make_unique<BiganRecipe>(settings);
}

}  // namespace ganymede
