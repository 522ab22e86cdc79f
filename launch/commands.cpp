#include "launch/commands.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "core/options.h"

namespace ganymede {
namespace {

constexpr Command table[] = {
    {"checkpoint", "list, verify and compare checkpoints", checkpoint_command},
    {"dataset", "pack, inspect and verify HDF5 datasets", dataset_command},
    {"doctor", "say before a long run what of ranks, network, dataset and run folder is not well", doctor_command},
    {"drill", "rehearse on this cluster what may happen to a run: a kill, a stop, a full disk", drill_command},
    {"evaluate", "score images: FID, KID, IS, precision, recall and others", evaluate_command},
    {"export", "write a run's networks as safetensors, or for diffusers", export_command},
    {"import", "make a checkpoint of a network that diffusers saved", import_command},
    {"models", "list the recipes with their networks' parameter counts", models_command},
    {"postmortem", "say what became of a run: who failed, or who is late in a hang", postmortem_command},
    {"project", "find the latents whose images are like given ones, and how unlike they stay",
     project_command},
    {"report", "show a run, or have a person judge its images, in an HTML page", report_command},
    {"sample", "draw images from a run or checkpoint", sample_command},
    {"train", "train by a recipe, or go on with a run", train_command},
    {"verify-run", "say at which step two runs first differ, and in what", verify_run_command},
    {"weights", "say what a file of weights is", weights_command},
};

}  // namespace

std::span<const Command> commands() {
  return table;
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : table) {
    if (name == command.name) return command;
    names.emplace_back(command.name);
  }
  const std::string suggestion = nearest(name, names);
  fail(ExitCode::options, "unknown command '{}': {}", name,
       suggestion.empty() ? fmt::format("give one of {}", fmt::join(names, ", "))
                          : fmt::format("did you mean {}?", suggestion));
}

}  // namespace ganymede
