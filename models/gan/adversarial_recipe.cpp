#include "models/gan/adversarial_recipe.h"

#include "core/error.h"
#include "models/gan/growing.h"
#include "models/gan/headed_discriminator.h"

namespace ganymede {
namespace {

class AdversarialRecipe final : public MethodRecipe {
 public:
  explicit AdversarialRecipe(const Settings& settings) {
    if (const auto setting = settings.find("gan.network"); setting != settings.end())
      network_ = setting->second.value;
    if (const auto setting = settings.find("gan.loss"); setting != settings.end())
      options_.loss = setting->second.value;
    if (const auto setting = settings.find("gan.auxiliary"); setting != settings.end())
      auxiliary_name_ = setting->second.value;
    networks_ = make_gan_networks(network_);
    loss_ = make_gan_loss(options_.loss);
    auxiliary_ = make_gan_auxiliary(auxiliary_name_);
  }

  void describe(OptionSchema& schema) override {
    schema.add("gan.network", network_, gan_network_names(), "pair of networks");
    schema.add("gan.auxiliary", auxiliary_name_, gan_auxiliary_names(),
               "a second task for D, by a head of its own");
    options_.describe(schema);
    networks_->describe(schema);
    if (grows()) growth_.describe(schema);
    loss_->describe(schema);
    if (auxiliary_) auxiliary_->describe(schema);
  }

  void check(std::int64_t micro_batch) const override {
    networks_->check();
    networks_->check_batch(micro_batch);
    check_growth();
    loss_->check();
    options_.check(loss_->needs(), growth_.wanted() ? *networks_->grown_to(growth_.from) : *networks_,
                   micro_batch);
    check_auxiliary();
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
    all.push_back(batch_norm_warning());
    all.push_back(slope_warning());
    std::erase(all, "");
    return all;
  }

  std::vector<Stage> stages(std::int64_t batch) const override {
    if (!growth_.wanted()) return MethodRecipe::stages(batch);
    check_growth();
    return growth_.stages(networks_->images().height, batch);
  }

  ImageSpec images() const override { return networks_->images(); }

  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const auto count = [](const torch::nn::Module& network) {
      std::int64_t sum = 0;
      for (const at::Tensor& parameter : network.parameters()) sum += parameter.numel();
      return sum;
    };
    return {{"generator", count(*networks_->generator())},
            {"discriminator", count(*make_discriminator(*networks_, auxiliary_.get()))}};
  }

  std::unique_ptr<Method> build(const MethodContext& context) const override {
    if (growth_.wanted())
      return std::make_unique<GrowingMethod>(*networks_, *loss_, auxiliary_.get(), options_, growth_,
                                             context);
    return std::make_unique<AdversarialMethod>(*networks_, *loss_, auxiliary_.get(), options_, context);
  }

 private:
  /// A sentence where D's penalty, of each image's own gradient, meets batch norm, else "".
  std::string batch_norm_warning() const {
    const std::string setting = networks_->setting_without_batch_norm();
    if (options_.penalty.weight <= 0 || setting.empty()) return "";
    return fmt::format(
        "gan.gradient_penalty is of each image's own gradient, and batch norm in the discriminator makes it depend "
        "on the other images: set {}",
        setting);
  }
  /// A sentence where nothing holds the slope of a critic that must have a bounded one, else "".
  std::string slope_warning() const {
    if (!loss_->needs().bounded_slope || options_.penalty.weight > 0 || options_.weight_clip > 0 ||
        options_.lecam.weight > 0)
      return "";
    const auto buffers = networks_->discriminator()->named_buffers();
    const bool spectral = std::ranges::any_of(buffers, [](const auto& buffer) { return buffer.key().ends_with(".u"); });
    if (spectral) return "";
    return fmt::format(
        "gan.loss = {} needs a discriminator of bounded slope, which nothing bounds here: set gan.gradient_penalty = 10, "
        "or gan.weight_clip = 0.01",
        options_.loss);
  }
  void check_growth() const {
    growth_.check(networks_->images().height);
    if (!growth_.wanted()) return;
    if (options_.historical_average > 0)
      fail(ExitCode::options,
           "gan.historical_average counts updates, which begin anew at each resolution: leave it out where growth.from "
           "is set");
    for (const auto& [section, player] :
         {std::pair{"generator", &options_.generator}, {"discriminator", &options_.discriminator}})
      if (player->decay != "constant" || player->ema_start > 0 || player->ema_ramp > 0 || player->warmup > 0)
        fail(ExitCode::options,
             "{0}.decay, {0}.ema_start, {0}.ema_ramp and {0}.warmup count updates, which begin anew at each "
             "resolution: "
             "leave them as "
             "they are where growth.from is set, and give growth.lr",
             section);
  }
  bool grows() const { return networks_->grown_to(4) != nullptr; }

  void check_auxiliary() const {
    if (!auxiliary_) return;
    if (networks_->images().embedding > 0)
      fail(ExitCode::options,
           "gan.auxiliary = {} is about labels or codes, and the networks follow a text: leave it out",
           auxiliary_name_);
    if (networks_->feature_size() == 0)
      fail(ExitCode::options,
           "gan.auxiliary = {} needs the discriminator's features, and that of gan.network shows none: "
           "choose another network",
           auxiliary_name_);
    auxiliary_->check(*networks_, *loss_);
  }

  std::string network_ = "biggan", auxiliary_name_ = "none";
  std::unique_ptr<GanNetworks> networks_;
  std::unique_ptr<GanLoss> loss_;
  std::unique_ptr<GanAuxiliary> auxiliary_;
  AdversarialOptions options_;
  GrowthOptions growth_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_adversarial_recipe(const Settings& settings) {
  return std::make_unique<AdversarialRecipe>(settings);
}

}  // namespace ganymede
