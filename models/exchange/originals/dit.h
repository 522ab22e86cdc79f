#pragma once

#include "models/exchange/original_format.h"

namespace ganymede {

/// DiT by its authors' names: "x_embedder", "t_embedder", "y_embedder", "blocks", "final_layer". The positions, which
/// follow from the options, are passed over.
Settings original_dit_settings();
NamedTensors original_dit_to_ours(const NamedTensors& theirs, const Settings& run,
                                  const OriginalLayout& layout);

inline constexpr OriginalFormat original_dit{
    .name = "DiT",
    .landmark = "x_embedder.proj.weight",
    .method = "denoising",
    .choice = "diffusion.network",
    .network = "dit",
    .player = "denoiser",
    .beside = "",
    .settings = original_dit_settings,
    .to_ours = original_dit_to_ours,
};

}  // namespace ganymede
