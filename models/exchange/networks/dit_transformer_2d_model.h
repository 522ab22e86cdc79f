#pragma once

#include "models/exchange/network_format.h"

namespace ganymede {

/// diffusers' DiTTransformer2DModel: models/diffusion/networks/dit.h with dit.frequency_shift = 1, dit.mlp_ratio = 4.
/// It repeats in each block the embedders of time and label that ours has once, and has a label for none always: where
/// ours has not, its row is zero, and a network that tells no classes apart has two rows of zeros. Places are no tensor
/// there. Files from before 2024 call the class Transformer2DModel.
nlohmann::json dit_2d_config(const Settings& run);
Settings dit_2d_settings(const ConfigReader& config, bool last_label_is_none);
NamedTensors dit_2d_to_theirs(const NamedTensors& ours, const nlohmann::json& config);
NamedTensors dit_2d_to_ours(const NamedTensors& theirs, const ConfigReader& config);

inline constexpr NetworkFormat dit_transformer_2d_model{
    .class_name = "DiTTransformer2DModel",
    .folder = "transformer",
    .method = "denoising",
    .choice = "diffusion.network",
    .network = "dit",
    .player = "denoiser",
    .config = dit_2d_config,
    .settings = dit_2d_settings,
    .to_theirs = dit_2d_to_theirs,
    .to_ours = dit_2d_to_ours,
};

}  // namespace ganymede
