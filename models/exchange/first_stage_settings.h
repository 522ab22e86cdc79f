#pragma once

#include "core/named_tensors.h"
#include "models/exchange/config_reader.h"
#include "models/first_stages/autoencoder.h"

namespace ganymede {

/// What AutoencoderKL and VQModel have in common: coder and sizes of models/first_stages/autoencoder.h, whose tensors
/// have their names already.

/// config.json, but for what one of the two has alone; "scaling_factor" is 1. Throws Error(options) where diffusers has
/// no such network.
nlohmann::json first_stage_config(const AutoencoderOptions& options);

/// Throws Error(checkpoint) where this program has no such network. `latent_channels` is the class's default.
AutoencoderOptions first_stage_options(const ConfigReader& config, std::int64_t latent_channels);
/// Of a run that trains it.
Settings settings_of_first_stage(const AutoencoderOptions& options, const ConfigReader& config);

/// Tensors by this program's names. The 1x1 convolutions and the middle's attention that a config leaves out become
/// such as change nothing: ones that copy, and attention of which nothing is added.
NamedTensors first_stage_to_ours(const NamedTensors& theirs, const ConfigReader& config);

}  // namespace ganymede
