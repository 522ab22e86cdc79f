#pragma once

#include <nlohmann/json.hpp>

#include "launch/recipe.h"
#include "launch/snapshot.h"

namespace ganymede {

/// A run's networks, loaded to draw from: what `sample` and its like begin with.
class LoadedRun {
 public:
  /// Verifies and loads a checkpoint, or a run's newest sound one, on `device` (auto, cpu, cuda). `changes` are
  /// options that say how to draw, in the place of the run's own. Collective; throws AgreedError.
  LoadedRun(Process& process, const std::filesystem::path& run_or_checkpoint, const std::string& device,
            const Settings& changes = {});

  /// The weights become the average that mixed_average() makes at the checkpoint, which rank 0 says; samplers then take
  /// the weights, SampleOptions::ema = false. Returns on all ranks what it was made of. Collective; throws
  /// AgreedError.
  nlohmann::json take_average(Process& process, double width);

  const SoundCheckpoint& checkpoint() const { return checkpoint_; }
  const RunOptions& options() const { return *options_; }
  ImageSpec images() const { return options_->method->images(); }
  ImageSpec samples() const { return options_->method->samples(); }
  Method& method() { return *method_; }

 private:
  SoundCheckpoint checkpoint_;
  std::optional<RunOptions> options_;
  std::unique_ptr<Communicator> group_;
  std::unique_ptr<Method> method_;
};

}  // namespace ganymede
