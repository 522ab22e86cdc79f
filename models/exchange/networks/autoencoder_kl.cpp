#include "models/exchange/networks/autoencoder_kl.h"

#include "models/exchange/first_stage_settings.h"
#include "models/exchange/run_settings.h"

namespace ganymede {

using nlohmann::json;

json autoencoder_kl_config(const Settings& run) {
  json config = first_stage_config(options_in<AutoencoderOptions>(run));
  config.update({{"force_upcast", true},
                 {"latents_mean", nullptr},
                 {"latents_std", nullptr},
                 {"shift_factor", nullptr},
                 {"use_post_quant_conv", true},
                 {"use_quant_conv", true}});
  return config;
}

Settings autoencoder_kl_settings(const ConfigReader& config, bool /*last_label_is_none*/) {
  AutoencoderOptions options = first_stage_options(config, /*latent_channels=*/4);
  options.latent = "kl";
  return settings_of_first_stage(options, config);
}

NamedTensors autoencoder_kl_to_theirs(const NamedTensors& ours, const json& /*config*/) {
  return ours;
}

NamedTensors autoencoder_kl_to_ours(const NamedTensors& theirs, const ConfigReader& config) {
  return first_stage_to_ours(theirs, config);
}

}  // namespace ganymede
