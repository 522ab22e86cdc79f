#pragma once

#include "datasets/image_dataset.h"
#include "launch/recipe.h"
#include "launch/snapshot.h"

namespace ganymede {

/// What a run begins with: whether dataset, checkpoint and options belong together.

/// Throws Error(dataset) unless the images are what the networks expect: of their size, with what must come with
/// them, and each with one of their classes unless that is the only one. Returns a warning, or "".
std::string check_dataset(const ImageDataset& dataset, const ImageSpec& spec);

/// Refuses to go on with what is another run: throws Error(checkpoint) that lists the differences from the
/// checkpoint's options, and its dataset's, but for those named in `allowed` ("data" is the dataset).
void check_same_run(const RunOptions& options, const ImageDataset& dataset, const Manifest& manifest,
                    const std::vector<std::string>& allowed);

/// What the run in `out` goes on from, by --resume's `choice`: "auto" its newest sound checkpoint, or, where
/// two starts from that got to no other, the one before (StartRecord); "never" nothing, else the run or checkpoint at that path, unless `out` has checkpoints of its own that this would
/// throw away. Nothing means a fresh start; `fresh` says that `out` holds no run yet. Collective; throws
/// AgreedError.
std::optional<SoundCheckpoint> find_start(Process& process, const std::string& choice,
                                          const std::filesystem::path& out, bool fresh);

/// Settles train.precision = auto: what the run began with, else what every rank's device is good at. Collective.
void resolve_precision(Process& process, TrainOptions& options, const Manifest* begun);

/// Takes over every weight and buffer of a run (its newest sound checkpoint) or checkpoint that fits by name
/// and shape, and says on standard output what did not. A moving average that is not there begins as a copy
/// of the weights that are. `group` takes tensors on the method's device. Collective; throws AgreedError: (checkpoint),
/// also where a number is not finite, or (dataset) where `told`, whose tokens the networks are told if they are any, has those
/// of another vocabulary.
void init_from(Process& process, Method& method, const std::filesystem::path& path, const ImageDataset* told,
               Communicator& group);

}  // namespace ganymede
