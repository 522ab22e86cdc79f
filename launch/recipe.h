#pragma once

#include "models/method.h"

namespace ganymede {

/// Options of the run itself, whatever the method.
struct TrainOptions {
  std::string method = "adversarial";
  std::int64_t batch = 64;
  std::int64_t accumulate = 1;
  std::string precision = "auto";
  std::int64_t steps = 1000;
  double kimg = 0;
  std::int64_t seed = 0;
  std::int64_t threads = 0;
  double bucket_mib = 4;
  bool shard_optimizer = false;
  std::string device = "auto";
  bool deterministic = false;
  bool flip = false;
  std::int64_t checkpoint_every = 1000;
  double checkpoint_minutes = 15;
  std::int64_t checkpoint_keep = 3;
  std::int64_t checkpoint_keep_every = 0;
  double checkpoint_retry_seconds = 60;
  std::int64_t checkpoint_failures = 3;
  std::int64_t sample_every = 500;
  std::int64_t sample_count = 64;
  bool sample_paths = true;
  std::int64_t log_every = 10;
  std::int64_t chain_every = -1;
  double watchdog_seconds = 300;
  std::int64_t rollbacks = 3;
  std::int64_t compare_every = 100;
  std::string collapse_action = "none";
  std::int64_t collapse_every = 500;
  double collapse_least_spread = 0.2;
  std::int64_t collapse_patience = 3;
  std::int64_t evaluate_every = 0;
  std::string evaluate_metrics = "fid";
  std::int64_t evaluate_count = 10'000;
  std::string evaluate_features = "random";
  std::string evaluate_reference = "data";
  std::int64_t evaluate_reference_count = 50'000;

  void describe(OptionSchema& schema);
  /// Steps between lines of the chain of a run on this device, 0 for none.
  std::int64_t chain_period(at::Device on) const { return chain_every >= 0 ? chain_every : on.is_cpu() ? 1 : 100; }
  /// Of weights and their gradients.
  at::ScalarType dtype() const { return precision == "fp64" ? at::kDouble : at::kFloat; }
  /// Of the maps between convolutions.
  at::ScalarType activations() const {
    return precision == "bf16" ? at::kBFloat16 : precision == "fp16" ? at::kHalf : dtype();
  }
};

/// A run's options, resolved: what a recipe file, a checkpoint or a command line says, in typed structs.
class RunOptions {
 public:
  /// `settings` in the order of their weight: later ones override earlier ones. Throws Error(options).
  explicit RunOptions(const std::vector<Settings>& settings);
  RunOptions(const RunOptions&) = delete;
  RunOptions& operator=(const RunOptions&) = delete;

  TrainOptions train;
  std::unique_ptr<MethodRecipe> method;
  OptionSchema schema;

  /// The number of steps that --steps or --kimg ask for.
  std::int64_t total_steps(std::int64_t batches_per_step) const;
  /// Whether a dataset holds latents, of which samples are decoded.
  bool learns_latents() const;
  /// Throws Error(options) where options do not fit together or do not fit `world_size` ranks.
  void check(int world_size) const;
};

/// The recipes that come with the program, by name.
std::map<std::string, std::string> recipes();
/// A recipe's path: `recipe` is a name from recipes() or a file. Throws Error(options) that lists the names.
std::string recipe_path(const std::string& recipe);

}  // namespace ganymede
