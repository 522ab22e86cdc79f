#pragma once

#include "models/exchange/network_format.h"

namespace ganymede {

/// diffusers' AutoencoderKL: models/first_stages/autoencoder.h of first_stage.latent = kl with first_stage.eps = 1e-6.
/// The size of images is a part of its config, though it takes any; its scaling factor is the business of who diffuses
/// its latents.
nlohmann::json autoencoder_kl_config(const Settings& run);
Settings autoencoder_kl_settings(const ConfigReader& config, bool last_label_is_none);
NamedTensors autoencoder_kl_to_theirs(const NamedTensors& ours, const nlohmann::json& config);
NamedTensors autoencoder_kl_to_ours(const NamedTensors& theirs, const ConfigReader& config);

inline constexpr NetworkFormat autoencoder_kl{
    .class_name = "AutoencoderKL",
    .folder = "vae",
    .method = "autoencoder",
    .choice = "first_stage.latent",
    .network = "kl",
    .player = "autoencoder",
    .config = autoencoder_kl_config,
    .settings = autoencoder_kl_settings,
    .to_theirs = autoencoder_kl_to_theirs,
    .to_ours = autoencoder_kl_to_ours,
};

}  // namespace ganymede
