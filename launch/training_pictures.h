#pragma once

#include "core/run_log.h"
#include "launch/process.h"
#include "launch/recipe.h"

namespace ganymede {

/// What a run's pictures are made of.
struct TrainingPictures {
  Process& process;
  const RunOptions& options;
  const ImageDataset& dataset;
  Method& method;
  const std::filesystem::path& out;  ///< the run's folder
  RunLog* log;                       ///< rank 0's; null elsewhere
};

/// Writes, for people to follow a run by, a grid of images drawn from the same numbers at every step; of a diffusion
/// model also how images come about, and its classes by scale of guidance; and histograms of the weights. A picture that
/// does not fit on the disk costs a warning alone. Collective; throws AgreedError.
void write_training_pictures(const TrainingPictures& run, std::int64_t step);

}  // namespace ganymede
