#include "models/encoders/vae_gan.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/encoders/encoding_recipe.h"

namespace ganymede {
namespace {

struct VaeGanOptions {
  double gamma = 1e-3;
  double prior = 1;
};

EncodingNetworks vae_gan_networks(const GanNetworks& description, const EncodingOptions& options) {
  EncodingNetworks networks;
  networks.generator = description.generator();
  networks.encoder = std::make_shared<ImageEncoder>(options.networks, description.images(),
                                                    networks.generator->latent_size(), true);
  networks.discriminator = description.discriminator();
  return networks;
}

class VaeGan final : public EncodingMethod {
 public:
  VaeGan(const GanNetworks& description, const EncodingOptions& options, const VaeGanOptions& own,
         const MethodContext& context)
      : EncodingMethod(
            description, [=, &description] { return vae_gan_networks(description, options); }, options,
            context),
        own_(own) {}

 protected:
  std::vector<Phase> phases() const override {
    // D judges three batches: all of them for itself, the generated ones for G, the reconstructions for E.
    return {{"vae_gan", {encoding, generating, discriminating}, {Runs{1, 1}, Runs{2, 3}, Runs{3, 6}}}};
  }

  std::vector<at::Tensor> losses(std::size_t /*phase*/, const MicroBatch& batch) override {
    const at::Tensor z = prior(batch);
    const at::Tensor drawn_labels = batch.draws.integers("label", description().images().classes);
    show_inputs(batch, z);
    show("generator.labels", drawn_labels);
    const LatentPosterior posterior = encoder().forward(batch.images, batch.forward);
    const at::Tensor code = code_of(posterior, batch);
    const at::Tensor again = generator().forward(code, batch.labels, batch.forward);
    const at::Tensor fake = generator().forward(z, drawn_labels, batch.forward);
    const Verdict of_real = judge(batch.images, batch.labels, batch.forward);
    const Verdict of_again = judge(again, batch.labels, batch.forward);
    const Verdict of_fake = judge(fake, drawn_labels, batch.forward);
    const at::Tensor divergence = mean_of(posterior.divergence());
    const at::Tensor like =
        mean_of((of_real.features.detach() - of_again.features).square().flatten(1).sum(1) / 2);
    const at::Tensor d = mean_of(-at::log_sigmoid(of_real.logits) - at::log_sigmoid(-of_again.logits) -
                                 at::log_sigmoid(-of_fake.logits));
    const at::Tensor adversarial =
        mean_of(-at::log_sigmoid(of_again.logits) - at::log_sigmoid(of_fake.logits));
    const at::Tensor e = own_.prior * divergence + like, g = own_.gamma * like + adversarial;
    show("generator.again", again);
    show("generator.fake", fake);
    show("discriminator.logits", at::cat({of_real.logits, of_again.logits, of_fake.logits}));
    report("loss_d", d);
    report("loss_g", g);
    report("loss_e", e);
    report("prior", divergence);
    report("like", like);
    report("real_logit", mean_of(of_real.logits));
    report("fake_logit", mean_of(of_fake.logits));
    return {e, g, d};
  }

  void add_features(ProjectionNetworks::Parts& parts) const override {
    parts.add_features_of(static_cast<Discriminator&>(*parts.discriminator));
  }

 private:
  struct Verdict {
    at::Tensor logits, features;
  };
  Verdict judge(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& forward) {
    Verdict verdict;
    ForwardContext judging = forward;
    judging.features = &verdict.features;
    verdict.logits = static_cast<Discriminator&>(discriminator()).forward(x, labels, judging);
    return verdict;
  }

  VaeGanOptions own_;
};

class VaeGanRecipe final : public EncodingRecipe {
 public:
  explicit VaeGanRecipe(const Settings& settings) : EncodingRecipe("vae_gan", settings) {}
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<VaeGan>(networks(), options(), own_, context);
  }

 private:
  void describe_own(OptionSchema& schema) override {
    schema.add("vae_gan.gamma", own_.gamma, "", {0, 1e6},
               "weight of the features' error in the generator's loss");
    schema.add("vae_gan.prior", own_.prior, "", {0, 1e6},
               "weight of the divergence from the prior; the paper's is 1");
  }
  void check_own() const override {
    if (networks().feature_size() == 0 || networks().autoencodes())
      fail(ExitCode::options,
           "train.method = vae_gan compares images by a discriminator's features, and asks it how real they "
           "are: that "
           "of gan.network = {} does not say both, choose another",
           network_name());
  }
  EncodingNetworks make() const override { return vae_gan_networks(networks(), options()); }

  VaeGanOptions own_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_vae_gan_recipe(const Settings& settings) {
  return std::make_unique<VaeGanRecipe>(settings);
}

}  // namespace ganymede
