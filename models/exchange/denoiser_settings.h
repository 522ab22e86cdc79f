#pragma once

#include "models/diffusion/denoiser.h"
#include "models/exchange/config_reader.h"

namespace ganymede {

/// What the method asks of the denoiser of a run with these settings.
DenoiserShape shape_of_run(const Settings& run);

/// The settings that a denoiser's shape decides, and the method's: whether it learns the variance (`out` channels, told
/// by `key`, are twice those of images), and whether it has learned to do without a label. Throws Error(checkpoint)
/// where `out` is neither once nor twice `in`.
Settings shape_settings(const ConfigReader& config, const std::string& key, std::int64_t out, std::int64_t in,
                        bool without_label);

}  // namespace ganymede
