#include "models/exchange/networks/vq_model.h"

#include "models/exchange/first_stage_settings.h"
#include "models/exchange/run_settings.h"

namespace ganymede {

using nlohmann::json;

json vq_model_config(const Settings& run) {
  const auto options = options_in<AutoencoderOptions>(run);
  json config = first_stage_config(options);
  config.update({{"force_upcast", false},
                 {"lookup_from_codebook", false},
                 {"norm_type", "group"},
                 {"num_vq_embeddings", options.codes},
                 {"vq_embed_dim", options.latent_channels}});
  return config;
}

Settings vq_model_settings(const ConfigReader& config, bool /*last_label_is_none*/) {
  config.require("norm_type", "group");
  config.require("lookup_from_codebook", false);
  AutoencoderOptions options = first_stage_options(config, /*latent_channels=*/3);
  options.latent = "vq";
  options.codes = config.integer("num_vq_embeddings", 256);
  if (config.integer("vq_embed_dim", options.latent_channels) != options.latent_channels)
    config.refuse("vq_embed_dim",
                  fmt::format("codes are as wide as latents here, {} channels", options.latent_channels));
  return settings_of_first_stage(options, config);
}

NamedTensors vq_model_to_theirs(const NamedTensors& ours, const json& /*config*/) {
  return ours;
}

NamedTensors vq_model_to_ours(const NamedTensors& theirs, const ConfigReader& config) {
  return first_stage_to_ours(theirs, config);
}

}  // namespace ganymede
