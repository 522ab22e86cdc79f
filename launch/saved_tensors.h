#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/manifest.h"

namespace ganymede {

/// The checkpoints that a path means, newest first: itself, or those of the run. Throws Error(checkpoint) where there
/// is none.
std::vector<std::filesystem::path> checkpoints_of(const std::filesystem::path& path);

/// What to say of a run of whose `count` checkpoints none is sound, with the remedy.
std::string none_sound_text(const std::filesystem::path& run, std::int64_t count);

/// A checkpoint in memory.
struct SavedTensors {
  std::filesystem::path path;
  Manifest manifest;
  std::map<std::string, at::Tensor> tensors;
};

/// Reads a checkpoint, or the newest sound one of a run, and says which others it passed over. Throws
/// Error(checkpoint).
SavedTensors read_saved(const std::filesystem::path& path);

/// A line each of the tensors that are not equal bit by bit, in the order in which they were saved: weights before
/// moments.
std::vector<std::string> tensor_differences(const SavedTensors& a, const SavedTensors& b);

/// A line each of the options that are in one of the two only, or are another there.
std::vector<std::string> option_differences(const SavedTensors& a, const SavedTensors& b);

}  // namespace ganymede
