#include "models/encoders/encoding_recipe.h"

#include "core/error.h"

namespace ganymede {

EncodingRecipe::EncodingRecipe(std::string name, const Settings& settings) : name_(std::move(name)) {
  if (const auto setting = settings.find("gan.network"); setting != settings.end())
    network_ = setting->second.value;
  networks_ = make_gan_networks(network_);
}

void EncodingRecipe::describe(OptionSchema& schema) {
  schema.add("gan.network", network_, gan_network_names(), "pair of networks whose generator is trained");
  options_.describe(schema);
  describe_own(schema);
  networks_->describe(schema);
}

void EncodingRecipe::check(std::int64_t micro_batch) const {
  networks_->check();
  networks_->check_batch(micro_batch);
  options_.check(name_, *networks_);
  check_own();
}

void EncodingRecipe::check_sampling(const SampleOptions& options) const {
  if (options.psi != 1 && !networks_->has_styles())
    fail(ExitCode::options,
         "--psi draws styles towards their mean, and gan.network = {} has none: leave it out, or narrow z "
         "with "
         "--truncation",
         network_);
}

std::vector<std::string> EncodingRecipe::warnings(std::int64_t steps) const {
  std::vector<std::string> all{options_.encoder.warning("encoder", steps * encoder_updates()),
                               options_.generator.warning("generator", steps),
                               options_.discriminator.warning("discriminator", steps)};
  std::erase(all, "");
  return all;
}

std::vector<std::pair<std::string, std::int64_t>> EncodingRecipe::parameter_counts() const {
  const auto count = [](const torch::nn::Module& network) {
    std::int64_t sum = 0;
    for (const at::Tensor& parameter : network.parameters()) sum += parameter.numel();
    return sum;
  };
  const EncodingNetworks all = make();
  return {{"encoder", count(*all.encoder)},
          {"generator", count(*all.generator)},
          {"discriminator", count(*all.discriminator)}};
}

}  // namespace ganymede
