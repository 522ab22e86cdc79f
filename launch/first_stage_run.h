#pragma once

#include "core/options.h"
#include "datasets/dataset_layout.h"
#include "launch/snapshot.h"

namespace ganymede {

/// The first stage of latent diffusion as a run of train.method = autoencoder has left it, and the latents that were made
/// by it.

/// What the run, or one of its checkpoints, says of the autoencoder: "first_stage.*", and that diffusion takes one. Throws
/// Error(checkpoint) where there is no such run.
Settings first_stage_settings(const std::filesystem::path& run_or_checkpoint);

/// What a dataset of latents says of itself.
struct LatentNotes {
  std::string first_stage;              ///< digest of the autoencoder's weights; empty: these are no latents
  std::vector<double> mean, deviation;  ///< of each channel of a latent; with codes one deviation for all

  std::map<std::string, std::string> to_provenance() const;
  static LatentNotes of(const DatasetLayout& layout);
};

/// Throws Error(dataset) where a dataset is not one of latents, in one file, and these are wanted, or is one and images are.
void check_kind(const DatasetLayout& layout, bool latents);

/// The weights of a checkpoint's autoencoder by module name, of their average if there is one. Throws
/// Error(checkpoint) where it holds none.
NamedTensors autoencoder_weights(const SoundCheckpoint& checkpoint);

/// Whether a method has a first stage, which a new run must be given.
bool has_first_stage(const Method& method);

/// Gives a method its first stage: the weights of the run at `path`, and the statistics of the latents in `layout`,
/// which must have been made with these weights. `group` takes tensors on the method's device. Collective; throws
/// AgreedError.
void adopt_first_stage(Process& process, Method& method, const std::filesystem::path& path,
                       const std::string& layout, Communicator& group);

/// Of a run that goes on: throws AgreedError where the latents in `layout` were made by another first stage than its own, or
/// where `given`, if not empty, is a run with another. Collective.
void check_first_stage(Process& process, const Method& method, const std::filesystem::path& given,
                       const std::string& layout);

/// Where the checkpoint at `path`, whose weights a run begins with, has the same first stage, its networks know latents
/// normalised by its own statistics: these take the place of the dataset's. Collective; throws AgreedError.
void adopt_statistics(Process& process, Method& method, const std::filesystem::path& path, Communicator& group);

}  // namespace ganymede
