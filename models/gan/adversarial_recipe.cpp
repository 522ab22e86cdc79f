#include "models/gan/adversarial_recipe.h"

#include "core/error.h"
#include "models/gan/adversarial.h"

namespace ganymede {
namespace {

class AdversarialRecipe final : public MethodRecipe {
 public:
  explicit AdversarialRecipe(const Settings& settings) {
    if (const auto setting = settings.find("gan.network"); setting != settings.end())
      network_ = setting->second.value;
    if (const auto setting = settings.find("gan.loss"); setting != settings.end())
      options_.loss = setting->second.value;
    networks_ = make_gan_networks(network_);
    loss_ = make_gan_loss(options_.loss);
  }

  void describe(OptionSchema& schema) override {
    schema.add("gan.network", network_, gan_network_names(), "pair of networks");
    options_.describe(schema);
    networks_->describe(schema);
    loss_->describe(schema);
  }

  void check(std::int64_t micro_batch) const override {
    networks_->check();
    networks_->check_batch(micro_batch);
    loss_->check();
    options_.check(loss_->needs(), *networks_, micro_batch);
  }

  void check_sampling(const SampleOptions& options) const override {
    if (options.psi != 1 && !networks_->has_styles())
      fail(ExitCode::options,
           "--psi draws styles towards their mean, and gan.network = {} has none: leave it out, or narrow z "
           "with --truncation",
           network_);
  }

  std::vector<std::string> warnings(std::int64_t steps) const override {
    std::vector<std::string> all{
        options_.generator.warning("generator", options_.generator_updates(steps)),
        options_.discriminator.warning("discriminator", options_.discriminator_updates(steps))};
    std::erase(all, "");
    return all;
  }

  ImageSpec images() const override { return networks_->images(); }

  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const auto count = [](const torch::nn::Module& network) {
      std::int64_t sum = 0;
      for (const at::Tensor& parameter : network.parameters()) sum += parameter.numel();
      return sum;
    };
    return {{"generator", count(*networks_->generator())},
            {"discriminator", count(*networks_->discriminator())}};
  }

  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<AdversarialMethod>(*networks_, *loss_, options_, context);
  }

 private:
  std::string network_ = "biggan";
  std::unique_ptr<GanNetworks> networks_;
  std::unique_ptr<GanLoss> loss_;
  AdversarialOptions options_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_adversarial_recipe(const Settings& settings) {
  return std::make_unique<AdversarialRecipe>(settings);
}

}  // namespace ganymede
