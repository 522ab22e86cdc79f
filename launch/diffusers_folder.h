#pragma once

#include <filesystem>
#include <map>
#include <optional>

#include "core/named_tensors.h"
#include "models/exchange/network_format.h"
#include "models/exchange/pipeline_format.h"

namespace ganymede {

/// The folders that diffusers' save_pretrained() writes and from_pretrained() reads:
///
///     model_index.json                                        what the pipeline is made of
///     NETWORK/config.json                                     unet, transformer, vae, vqvae
///     NETWORK/diffusion_pytorch_model.safetensors
///     scheduler/scheduler_config.json

/// A network in such a folder.
struct DiffusersNetwork {
  NetworkFormat format;
  ConfigReader config;
  std::filesystem::path folder;  ///< of config.json and weights
};

struct DiffusersFolder {
  DiffusersNetwork network;                     ///< the denoiser, if there is one
  std::optional<DiffusersNetwork> first_stage;  ///< of a pipeline whose denoiser works on latents
  std::optional<ConfigReader> scheduler;        ///< the denoiser's
};

/// Reads what the folder of a pipeline, or of a network alone, says; no weights. Throws Error(checkpoint).
DiffusersFolder open_diffusers_folder(const std::filesystem::path& folder);

/// Whether the weights say that the last label stands for none (write_diffusers_folder's `metadata`).
bool says_last_label_is_none(const DiffusersNetwork& network);

/// Every tensor of the network, in float32, by this program's names: of diffusion_pytorch_model.safetensors, of the
/// files that its .index.json lists, or of diffusion_pytorch_model.bin. Throws Error(checkpoint).
NamedTensors read_diffusers_tensors(const DiffusersNetwork& network);

/// What is to be written of a network.
struct DiffusersPart {
  NetworkFormat format;
  std::string folder;     ///< within that of all
  nlohmann::json config;  ///< NetworkFormat::config's
  NamedTensors tensors;   ///< by diffusers' names
};

/// What is to be written.
struct DiffusersExport {
  std::vector<DiffusersPart> networks;
  std::optional<PipelineFormat> pipeline = std::nullopt;  ///< of a denoiser
  bool last_label_is_none = false;
  std::int64_t step = 0;
};

/// The folder, whole or not at all; returns the bytes of the weights. Throws Error(storage), also where it is there
/// already.
std::int64_t write_diffusers_folder(const std::filesystem::path& folder, const DiffusersExport& made);

}  // namespace ganymede
