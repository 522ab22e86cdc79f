#pragma once

#include <functional>

#include "core/named_tensors.h"
#include "launch/command_line.h"
#include "launch/snapshot.h"

namespace ganymede {

/// An average of weights that was made afterwards.
struct MixedAverage {
  std::string player;
  NamedTensors tensors = {};  ///< of the weights' names and types
  std::int64_t count = 0;     ///< averages that it was mixed of
  std::int64_t checkpoints = 0;
  double error = 0;  ///< of its profile: ProfileMix
};

/// The average with a power function's profile of this relative width (core/power_profile.h) at a checkpoint's update,
/// of the averages that models/power_averages.h has left in it and in the checkpoints beside it of earlier steps. A
/// damaged one is left out, and standard error told. Sums are float64: 8 bytes a parameter. `alive` is called for each
/// checkpoint that is verified or read, all of whose bytes are. Throws Error(options) where the checkpoint has no such
/// averages. No collective.
MixedAverage mixed_average(const SoundCheckpoint& checkpoint, double width, const std::function<void()>& alive = {});
/// What it was made of, as one line for people.
std::string described(const MixedAverage& average, double width);

/// --ema-sigma-rel, by which such an average is asked for.
Flag sigma_rel_flag();
/// Its value, 0 where it was not given. Throws Error(options), also where --ema false stands beside it.
double read_sigma_rel(const CommandLine& line);

}  // namespace ganymede
