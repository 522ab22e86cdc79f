#pragma once

#include "models/exchange/original_format.h"

namespace ganymede {

/// The first stages of latent diffusion and of taming transformers by their authors' names: "encoder.down.0.block.0",
/// "decoder.up.0.attn.0" (levels counted from the image both ways), "quant_conv", "quantize.embedding". Their loss's
/// networks ("loss.") and averages ("model_ema.") are passed over.
Settings original_first_stage_settings();
NamedTensors original_first_stage_to_ours(const NamedTensors& theirs, const Settings& run,
                                          const OriginalLayout& layout);

inline constexpr OriginalFormat original_first_stage{
    .name = "the first stage of latent diffusion",
    .landmark = "encoder.conv_in.weight",
    .method = "autoencoder",
    .choice = "train.method",
    .network = "autoencoder",
    .player = "autoencoder",
    .beside = "",
    .settings = original_first_stage_settings,
    .to_ours = original_first_stage_to_ours,
};

}  // namespace ganymede
