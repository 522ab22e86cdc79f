#include "launch/recipe.h"

#include <fmt/ranges.h>

#include <cmath>

#include "core/error.h"

namespace ganymede {
namespace fs = std::filesystem;

void TrainOptions::describe(OptionSchema& schema) {
  constexpr double many = 1e12;
  schema.add("train.method", method, method_names(), "what is trained how");
  schema.add("train.batch", batch, "images", {1, 1 << 24}, "global batch, over all ranks and micro-batches");
  schema.add("train.accumulate", accumulate, "micro-batches", {1, 1 << 20},
             "parts the global batch is computed in");
  schema.add("train.precision", precision, {"auto", "bf16", "fp16", "fp32", "fp64"},
             "arithmetic of the convolutions; auto: bf16 where the device has units for it, else fp32; fp16, "
             "for GPUs without such units, scales the loss");
  schema.add("train.steps", steps, "steps", {0, many}, "length of the run", OnResume::free);
  schema.add("train.kimg", kimg, "thousand images", {0, many},
             "length of the run in real images, 0 for train.steps", OnResume::free);
  schema.add("train.seed", seed, "", {0, 9e15}, "seed of weights, order and noise");
  schema.add("train.threads", threads, "threads", {0, 4096}, "a rank's threads, 0 for its share of the cores",
             OnResume::free);
  schema.add("train.device", device, {"auto", "cpu", "cuda"},
             "what computes; auto takes GPUs where every rank sees one: each takes one rank", OnResume::free);
  schema.add("train.deterministic", deterministic, "the same bits in each run on GPUs too, at some speed",
             OnResume::free);
  schema.add("train.bucket_mib", bucket_mib, "MiB", {0.001, 4096}, "least size of a gradient bucket");
  schema.add(
      "train.shard_optimizer", shard_optimizer,
      "each of N ranks holds the moments and the average of an N-th of the weights, in fp32 8 + 12/N bytes a "
      "parameter instead of 20; the all-reduce of gradients becomes a reduce-scatter, and an all-gather of "
      "weights: as many bytes",
      OnResume::free);
  schema.add("train.rollbacks", rollbacks, "times", {0, 1e6},
             "that a run which diverges goes back to its newest checkpoint, with other random numbers",
             OnResume::free);
  schema.add("train.compare_every", compare_every, "steps", {0, many},
             "between comparisons of the ranks' weights and averages, which must be the same; also before each "
             "checkpoint; 0 for never",
             OnResume::free);
  schema.add("data.flip", flip, "mirror each image with probability 1/2");
  schema.add("checkpoint.every", checkpoint_every, "steps", {0, many}, "between checkpoints, 0 for never",
             OnResume::free);
  schema.add("checkpoint.minutes", checkpoint_minutes, "minutes", {0, 1e6},
             "between checkpoints, 0 for never", OnResume::free);
  schema.add("checkpoint.keep", checkpoint_keep, "", {1, 1e6}, "newest checkpoints that stay", OnResume::free);
  schema.add("checkpoint.keep_every", checkpoint_keep_every, "steps", {0, many},
             "between checkpoints that are made and stay for good, 0 for none", OnResume::free);
  schema.add("checkpoint.retry_seconds", checkpoint_retry_seconds, "s", {0, 1e6},
             "from a checkpoint that could not be written to the next attempt", OnResume::free);
  schema.add("checkpoint.failures", checkpoint_failures, "", {1, 1e6},
             "attempts to write a checkpoint that fail in succession and end the run", OnResume::free);
  schema.add("sample.every", sample_every, "steps", {0, many}, "between sample grids, 0 for never",
             OnResume::free);
  schema.add("sample.count", sample_count, "images", {1, 4096}, "images of a sample grid", OnResume::free);
  schema.add("sample.paths", sample_paths, "of a diffusion model, beside each grid: how images come about, and by scale of guidance",
             OnResume::free);
  schema.add("log.every", log_every, "steps", {1, many}, "between reports", OnResume::free);
  schema.add("chain.every", chain_every, "steps", {-1, many},
             "between lines of chain.jsonl, by which `ganymede verify-run` compares runs; 0 for none; -1: 1 on CPUs, 100 "
             "on GPUs",
             OnResume::free);
  schema.add("collapse.action", collapse_action, {"none", "warn", "stop", "rollback"},
             "where a generator draws the same image over and over; rollback counts among train.rollbacks",
             OnResume::free);
  schema.add("collapse.every", collapse_every, "steps", {1, many}, "between looks for that", OnResume::free);
  schema.add("collapse.least_spread", collapse_least_spread, "", {0, 10},
             "mean distance of two samples of one class over that of two real images below which it has collapsed",
             OnResume::free);
  schema.add("collapse.patience", collapse_patience, "looks", {1, 1e6}, "in a row that must find it",
             OnResume::free);
  schema.add("watchdog.seconds", watchdog_seconds, "s", {0, 1e6},
             "without progress until the job ends, 0 for never", OnResume::free);
  schema.add("evaluate.every", evaluate_every, "steps", {0, many}, "between scores, 0 for never",
             OnResume::free);
  schema.add("evaluate.metrics", evaluate_metrics, {},
             "scores, by comma: see `ganymede evaluate --help`, without fid-infinity; by the first the best "
             "checkpoint is kept",
             OnResume::free);
  schema.add("evaluate.count", evaluate_count, "images", {1, 1e9}, "drawn for a score", OnResume::free);
  schema.add("evaluate.features", evaluate_features, {},
             "weights file of the network that looks at images, or random", OnResume::free);
  schema.add("evaluate.reference", evaluate_reference, {},
             "what is compared with: data (that of training), other images, or statistics", OnResume::free);
  schema.add("evaluate.reference_count", evaluate_reference_count, "images", {0, 1e9},
             "most of the reference that are looked at, a random subset; 0 for all", OnResume::free);
}

namespace {

Settings merged(const std::vector<Settings>& layers) {
  Settings result;
  for (const Settings& layer : layers)
    for (const auto& [key, setting] : layer) result[key] = setting;
  return result;
}

}  // namespace

RunOptions::RunOptions(const std::vector<Settings>& settings) {
  const Settings all = merged(settings);
  train.describe(schema);
  if (const auto choice = all.find("train.method"); choice != all.end()) train.method = choice->second.value;
  method = make_method_recipe(train.method, all);
  method->describe(schema);
  schema.apply(all);
}

std::int64_t RunOptions::total_steps(std::int64_t batches_per_step) const {
  if (train.kimg <= 0) return train.steps;
  return steps_to_see(method->stages(train.batch), batches_per_step,
                      static_cast<std::int64_t>(std::ceil(train.kimg * 1000)));
}

bool RunOptions::learns_latents() const {
  const ImageSpec data = method->images(), samples = method->samples();
  return data.channels != samples.channels || data.height != samples.height || data.width != samples.width;
}

void RunOptions::check(int world_size) const {
  if (train.flip) method->check_flip();
  if (learns_latents() && train.collapse_action != "none")
    fail(ExitCode::options,
         "collapse.action = {}: samples are compared with the dataset's images, and this holds latents: set "
         "none",
         train.collapse_action);
  const std::vector<Stage> stages = method->stages(train.batch);
  for (const Stage& stage : stages) {
    const std::string batch =
        fmt::format("{} = {}", stages.size() == 1 ? "train.batch" : "growth.batch", stage.batch);
    if (stage.batch % train.accumulate != 0)
      fail(ExitCode::options, "train.accumulate = {} does not divide {}", train.accumulate, batch);
    const std::int64_t micro_batch = stage.batch / train.accumulate;
    if (micro_batch < world_size)
      fail(ExitCode::options,
           "{} images a micro-batch ({}, train.accumulate = {}) are fewer than the {} ranks: raise "
           "train.batch, lower "
           "train.accumulate, or start fewer ranks",
           micro_batch, batch, train.accumulate, world_size);
    method->check(micro_batch);
  }
}

namespace {

/// Beside the installed program, else in the source tree that the program was built in.
fs::path recipe_folder() {
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {program / "../share/ganymede/recipes", program / "../../launch/recipes"})
    if (fs::is_directory(folder)) return fs::canonical(folder);
  fail(ExitCode::options, "no recipes beside {}: was the program moved without its share folder?",
       program.string());
}

}  // namespace

std::map<std::string, std::string> recipes() {
  std::map<std::string, std::string> result;
  for (const auto& file : fs::directory_iterator(recipe_folder()))
    if (file.path().extension() == ".cfg") result[file.path().stem().string()] = file.path().string();
  return result;
}

std::string recipe_path(const std::string& recipe) {
  std::error_code unreachable;
  // A path through a folder is no name: it needs no recipes beside the program.
  if (fs::path(recipe).has_parent_path() && fs::is_regular_file(recipe, unreachable)) return recipe;
  const auto known = recipes();
  if (const auto found = known.find(recipe); found != known.end()) return found->second;
  if (fs::is_regular_file(recipe, unreachable)) return recipe;
  std::vector<std::string> names;
  for (const auto& [name, path] : known) names.push_back(name);
  const std::string meant = nearest(recipe, names);
  fail(ExitCode::options, "recipe '{}' is neither a file nor one of {}{}", recipe, fmt::join(names, ", "),
       meant.empty() ? "" : fmt::format(": did you mean {}?", meant));
}

}  // namespace ganymede
