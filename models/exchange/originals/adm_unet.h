#pragma once

#include "models/exchange/original_format.h"

namespace ganymede {

/// The UNet of ADM and of latent diffusion by their authors' names: "input_blocks", "middle_block", "output_blocks",
/// "time_embed", "label_emb", "out", numbered in the order of the recipe's levels, blocks and attention. Where maps attend
/// to labels, latent diffusion keeps the labels' embedding apart, "cond_stage_model.embedding", and not in its average.
Settings original_adm_unet_settings();
NamedTensors original_adm_unet_to_ours(const NamedTensors& theirs, const Settings& run,
                                       const OriginalLayout& layout);

inline constexpr OriginalFormat original_adm_unet{
    .name = "the UNet of ADM and latent diffusion",
    .landmark = "input_blocks.0.0.weight",
    .method = "denoising",
    .choice = "diffusion.network",
    .network = "unet",
    .player = "denoiser",
    .beside = "cond_stage_model.embedding.weight",
    .settings = original_adm_unet_settings,
    .to_ours = original_adm_unet_to_ours,
};

}  // namespace ganymede
