#pragma once

#include "models/exchange/network_format.h"

namespace ganymede {

/// diffusers' UNet2DModel: models/diffusion/networks/unet.h, whose tensors have its names already. It has one width of
/// attention heads at all levels (unet.heads must come to that), and the time's sinusoids are as wide as the first
/// level. Checkpoints from before 2023 name attention's maps otherwise ("query", "proj_attn"); they are read too.
nlohmann::json unet_2d_config(const Settings& run);
Settings unet_2d_settings(const ConfigReader& config, bool last_label_is_none);
NamedTensors unet_2d_to_theirs(const NamedTensors& ours, const nlohmann::json& config);
NamedTensors unet_2d_to_ours(const NamedTensors& theirs, const ConfigReader& config);

inline constexpr NetworkFormat unet_2d_model{
    .class_name = "UNet2DModel",
    .folder = "unet",
    .method = "denoising",
    .choice = "diffusion.network",
    .network = "unet",
    .player = "denoiser",
    .config = unet_2d_config,
    .settings = unet_2d_settings,
    .to_theirs = unet_2d_to_theirs,
    .to_ours = unet_2d_to_ours,
};

}  // namespace ganymede
