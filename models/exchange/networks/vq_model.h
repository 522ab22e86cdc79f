#pragma once

#include "models/exchange/network_format.h"

namespace ganymede {

/// diffusers' VQModel: models/first_stages/autoencoder.h of first_stage.latent = vq with first_stage.eps = 1e-6, whose
/// codes are as wide as its latents.
nlohmann::json vq_model_config(const Settings& run);
Settings vq_model_settings(const ConfigReader& config, bool last_label_is_none);
NamedTensors vq_model_to_theirs(const NamedTensors& ours, const nlohmann::json& config);
NamedTensors vq_model_to_ours(const NamedTensors& theirs, const ConfigReader& config);

inline constexpr NetworkFormat vq_model{
    .class_name = "VQModel",
    .folder = "vqvae",
    .method = "autoencoder",
    .choice = "first_stage.latent",
    .network = "vq",
    .player = "autoencoder",
    .config = vq_model_config,
    .settings = vq_model_settings,
    .to_theirs = vq_model_to_theirs,
    .to_ours = vq_model_to_ours,
};

}  // namespace ganymede
