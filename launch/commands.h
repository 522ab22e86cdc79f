#pragma once

#include <span>
#include <string>

namespace ganymede {

/// A subcommand of the program, in launch/commands/<name>.cpp, with underscores for hyphens. Returns the exit code; throws Error.
struct Command {
  const char* name;
  const char* help;
  int (*run)(std::span<const std::string> arguments);
};

std::span<const Command> commands();
/// Throws Error(options) with the nearest known name.
const Command& find_command(const std::string& name);

int checkpoint_command(std::span<const std::string> arguments);
int dataset_command(std::span<const std::string> arguments);
int doctor_command(std::span<const std::string> arguments);
int drill_command(std::span<const std::string> arguments);
int evaluate_command(std::span<const std::string> arguments);
int export_command(std::span<const std::string> arguments);
int import_command(std::span<const std::string> arguments);
int models_command(std::span<const std::string> arguments);
int postmortem_command(std::span<const std::string> arguments);
int project_command(std::span<const std::string> arguments);
int report_command(std::span<const std::string> arguments);
int sample_command(std::span<const std::string> arguments);
int train_command(std::span<const std::string> arguments);
int verify_run_command(std::span<const std::string> arguments);
int weights_command(std::span<const std::string> arguments);

}  // namespace ganymede
