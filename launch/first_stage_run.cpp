#include "launch/first_stage_run.h"

#include <fmt/ranges.h>

#include "core/checkpoint_store.h"
#include "datasets/describe_file.h"
#include "models/features/weights_digest.h"
#include "models/player.h"

namespace ganymede {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view prefix = "first_stage/";

std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> numbers;
  std::istringstream stream(text);
  for (double number = 0; stream >> number;) {
    numbers.push_back(number);
    stream.ignore(1);
  }
  return numbers;
}

constexpr std::string_view weights_prefix = "first_stage/weight/", statistics_prefix = "first_stage/state/";

/// The tensors whose names begin so, by the rest of their names.
NamedTensors tensors_under(std::string_view start, const NamedTensors& tensors) {
  NamedTensors found;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(start)) found.emplace_back(name.substr(start.size()), tensor);
  return found;
}

/// Those of the method's state whose names begin so, from rank 0. Collective.
void broadcast_under(std::string_view start, const Method& method, Communicator& group) {
  for (const auto& [name, tensor] : tensors_under(start, method.state())) group.broadcast(tensor, 0)->wait();
}

Manifest newest_manifest(const fs::path& path) {
  std::error_code unreachable;
  if (fs::exists(path / Manifest::file_name, unreachable)) return read_manifest(path);
  const auto checkpoints = CheckpointStore(path / "checkpoints", 1).list();
  if (checkpoints.empty())
    fail(ExitCode::checkpoint,
         "--first-stage {}: no run, and no checkpoint: give a run of train.method = autoencoder",
         path.string());
  return read_manifest(checkpoints.front());
}

}  // namespace

Settings first_stage_settings(const fs::path& run_or_checkpoint) {
  const Manifest manifest = newest_manifest(run_or_checkpoint);
  const std::string origin = run_or_checkpoint.string();
  const Settings stored = parse_recipe(manifest.header.at("options").get<std::string>(), origin);
  const auto method = stored.find("train.method");
  if (method == stored.end() || method->second.value != "autoencoder")
    fail(ExitCode::checkpoint,
         "--first-stage {}: this run trains no autoencoder: give one of train.method = autoencoder", origin);
  Settings settings{{"diffusion.first_stage", {"autoencoder", origin}}};
  for (const auto& [key, setting] : stored)
    if (key.starts_with("first_stage.")) settings[key] = setting;
  return settings;
}

std::map<std::string, std::string> LatentNotes::to_provenance() const {
  return {{"first_stage", first_stage},
          {"latent_mean", fmt::format("{:.17g}", fmt::join(mean, ","))},
          {"latent_deviation", fmt::format("{:.17g}", fmt::join(deviation, ","))}};
}

LatentNotes LatentNotes::of(const DatasetLayout& layout) {
  const auto provenance = describe_file(layout).provenance;
  const auto text = [&](const char* name) {
    const auto found = provenance.find(name);
    return found == provenance.end() ? std::string() : found->second;
  };
  return {text("first_stage"), numbers_of(text("latent_mean")), numbers_of(text("latent_deviation"))};
}

void check_kind(const DatasetLayout& layout, bool latents) {
  const std::string made_by = LatentNotes::of(layout).first_stage, &file = layout.files.front().path;
  if (latents && (made_by.empty() || layout.files.size() > 1))
    fail(ExitCode::dataset,
         "{}: no latents, or in several files: make them by ganymede dataset encode IMAGES.h5 OUT.h5 --first-stage RUN", file);
  if (!latents && !made_by.empty())
    fail(ExitCode::dataset,
         "{}: latents, made by the first stage {}: give the images, or, for a run that diffuses latents, --first-stage RUN",
         file, made_by);
}

NamedTensors autoencoder_weights(const SoundCheckpoint& checkpoint) {
  const NamedTensors tensors = read_tensors(checkpoint.path, checkpoint.manifest);
  for (const char* kind : {"autoencoder/ema/", "autoencoder/weight/"})
    if (NamedTensors weights = tensors_under(kind, tensors); !weights.empty()) return weights;
  fail(ExitCode::checkpoint, "{} holds no autoencoder: give a run of train.method = autoencoder",
       checkpoint.path.string());
}

bool has_first_stage(const Method& method) {
  const NamedTensors state = method.state();
  return std::ranges::any_of(state, [](const auto& item) { return item.first.starts_with(prefix); });
}

void adopt_first_stage(Process& process, Method& method, const fs::path& path, const std::string& layout,
                       Communicator& group) {
  const SoundCheckpoint checkpoint = find_checkpoint(process, path);
  process.together([&] {
    if (!process.is_root()) return;
    const NamedTensors weights = autoencoder_weights(checkpoint);
    const DatasetLayout data = layout_from_json(layout);
    const LatentNotes notes = LatentNotes::of(data);
    const std::string& file = data.files.front().path;
    if (const std::string digest = weights_digest(weights); digest != notes.first_stage)
      fail(ExitCode::dataset,
           "{}: stale: these latents were made by the first stage {}, and that of {} is {}: encode the "
           "images anew",
           file, notes.first_stage, checkpoint.path.string(), digest);
    std::map<std::string, at::Tensor> given;
    for (const auto& [name, tensor] : weights)
      given.emplace(fmt::format("{}{}", weights_prefix, name), tensor);
    given.emplace(fmt::format("{}mean", statistics_prefix), at::tensor(notes.mean, at::kDouble));
    given.emplace(fmt::format("{}deviation", statistics_prefix), at::tensor(notes.deviation, at::kDouble));
    for (const auto& [name, tensor] : method.state()) {
      if (!name.starts_with(prefix)) continue;
      const auto found = given.find(name);
      if (found == given.end() || found->second.sizes() != tensor.sizes())
        fail(ExitCode::checkpoint, "{}: {} is {}: give the first stage that the options describe",
             checkpoint.path.string(), name, found == given.end() ? "missing" : "of another shape");
      tensor.copy_(found->second);
    }
  });
  broadcast_under(prefix, method, group);
}

void check_first_stage(Process& process, const Method& method, const fs::path& given, const std::string& layout) {
  std::optional<SoundCheckpoint> checkpoint;
  if (!given.empty()) checkpoint = find_checkpoint(process, given);
  process.together([&] {
    if (!process.is_root()) return;
    const std::string own = weights_digest(tensors_under(weights_prefix, method.state()));
    const DatasetLayout data = layout_from_json(layout);
    if (const std::string made_by = LatentNotes::of(data).first_stage; made_by != own)
      fail(ExitCode::dataset,
           "{}: made by the first stage {}, and this run's own is {}: give the latents that it began with, or begin "
           "another run",
           data.files.front().path, made_by.empty() ? "(none)" : made_by, own);
    if (!checkpoint) return;
    if (const std::string digest = weights_digest(autoencoder_weights(*checkpoint)); digest != own)
      fail(ExitCode::options, "--first-stage {}: it is {}, and this run began with {}: give that one", given.string(),
           digest, own);
  });
}

void adopt_statistics(Process& process, Method& method, const fs::path& path, Communicator& group) {
  const SoundCheckpoint checkpoint = find_checkpoint(process, path);
  process.together([&] {
    if (!process.is_root()) return;
    const NamedTensors saved = read_tensors(checkpoint.path, checkpoint.manifest);
    const NamedTensors own = method.state(), learned_with = tensors_under(weights_prefix, saved);
    if (learned_with.empty() || weights_digest(learned_with) != weights_digest(tensors_under(weights_prefix, own)))
      return;
    const NamedTensors statistics = tensors_under(statistics_prefix, saved);
    const std::map<std::string, at::Tensor> by_name(statistics.begin(), statistics.end());
    for (const auto& [name, tensor] : tensors_under(statistics_prefix, own)) tensor.copy_(by_name.at(name));
    fmt::print("init-from {}: latents are normalised as it has learned them, not by the dataset's statistics\n",
               path.string());
  });
  broadcast_under(statistics_prefix, method, group);
}

}  // namespace ganymede
