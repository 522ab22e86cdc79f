#include "launch/mixed_average.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/power_profile.h"
#include "models/power_averages.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

/// What a checkpoint's tensor is called, "player/kind/tensor".
struct TensorName {
  std::string player, kind, tensor;
};

TensorName parts_of(const std::string& name) {
  const std::size_t first = name.find('/'), second = name.find('/', first + 1);
  if (second == std::string::npos) return {};
  return {name.substr(0, first), name.substr(first + 1, second - first - 1), name.substr(second + 1)};
}

/// One average of one checkpoint.
struct KeptAverage {
  std::size_t checkpoint;  ///< index
  std::string kind;
  PowerProfile profile;
};

/// The checkpoint, and the sound ones beside it that are older.
std::vector<SoundCheckpoint> with_older(const SoundCheckpoint& checkpoint, const std::function<void()>& alive) {
  std::vector<SoundCheckpoint> all{checkpoint};
  fs::path own = fs::absolute(checkpoint.path).lexically_normal();
  if (!own.has_filename()) own = own.parent_path();  // it was named with a slash at its end
  for (const fs::path& folder : CheckpointStore(own.parent_path(), 1).list()) {
    const auto step = step_of(folder);
    if (!step || *step >= checkpoint.manifest.step) continue;
    if (alive) alive();
    try {
      const Manifest manifest = read_manifest(folder);
      verify_shards(folder, manifest);
      all.push_back({folder, manifest});
    } catch (const Error& error) {
      if (error.code() != ExitCode::checkpoint) throw;
      fmt::print(stderr, "left out: {}\n", error.what());
    }
  }
  return all;
}

/// The player that such averages were kept of; empty for none.
std::string averaged_player(const Manifest& manifest) {
  for (const TensorRecord& record : manifest.tensors)
    if (const TensorName name = parts_of(record.name); power_width_of(name.kind)) return name.player;
  return {};
}

std::vector<KeptAverage> averages_in(const std::vector<SoundCheckpoint>& checkpoints,
                                     const std::string& player) {
  std::vector<KeptAverage> averages;
  for (std::size_t i = 0; i < checkpoints.size(); ++i) {
    const Manifest& manifest = checkpoints[i].manifest;
    const auto updates = manifest.header.at("updates").at(player).get<double>();
    std::vector<std::string> seen;
    for (const TensorRecord& record : manifest.tensors) {
      const TensorName name = parts_of(record.name);
      const auto width = power_width_of(name.kind);
      if (!width || name.player != player || updates < 1 || std::ranges::find(seen, name.kind) != seen.end())
        continue;
      seen.push_back(name.kind);
      averages.push_back({i, name.kind, {updates, power_exponent(*width)}});
    }
  }
  return averages;
}

}  // namespace

MixedAverage mixed_average(const SoundCheckpoint& checkpoint, double width, const std::function<void()>& alive) {
  const std::string player = averaged_player(checkpoint.manifest);
  if (player.empty())
    fail(ExitCode::options,
         "{}: no averages were kept to make another of: train with --denoiser.ema_power 0.05,0.1 and "
         "--checkpoint.keep_every",
         checkpoint.path.string());
  const std::vector<SoundCheckpoint> checkpoints = with_older(checkpoint, alive);
  const std::vector<KeptAverage> averages = averages_in(checkpoints, player);
  if (averages.empty())
    fail(ExitCode::options, "{}: averages begin with the first update", checkpoint.path.string());
  std::vector<PowerProfile> known;
  for (const KeptAverage& average : averages) known.push_back(average.profile);
  const ProfileMix mix = mix_profiles(known, {known.front().updates, power_exponent(width)});
  MixedAverage result{.player = player,
                      .count = std::ssize(averages),
                      .checkpoints = std::ssize(checkpoints),
                      .error = mix.error};
  std::map<std::string, at::Tensor> sums;
  for (std::size_t i = 0; i < checkpoints.size(); ++i) {
    if (alive) alive();
    for (const auto& [name, tensor] : read_tensors(checkpoints[i].path, checkpoints[i].manifest)) {
      const TensorName parts = parts_of(name);
      if (parts.player != player) continue;
      if (i == 0 && parts.kind == "weight") result.tensors.emplace_back(parts.tensor, tensor);
      for (std::size_t k = 0; k < averages.size(); ++k) {
        if (averages[k].checkpoint != i || averages[k].kind != parts.kind) continue;
        at::Tensor& sum = sums[parts.tensor];
        if (!sum.defined()) sum = at::zeros_like(tensor, at::kDouble);
        sum.add_(tensor.to(at::kDouble), mix.weights[k]);
      }
    }
  }
  for (auto& [name, tensor] : result.tensors) tensor = sums.at(name).to(tensor.scalar_type());
  return result;
}

std::string described(const MixedAverage& average, double width) {
  return fmt::format("average of relative width {}: of {} in {} checkpoints, its profile {:.1e} off", width, average.count,
                     average.checkpoints, average.error);
}

Flag sigma_rel_flag() {
  return {"ema-sigma-rel", "S",
          "a moving average of this relative width, made of those that denoiser.ema_power has kept in this checkpoint and "
          "those before it [the run's own average]"};
}

double read_sigma_rel(const CommandLine& line) {
  if (!line.has("ema-sigma-rel")) return 0;
  double width = 0;
  bool ema = true;
  OptionSchema schema;
  schema.add("--ema-sigma-rel", width, "", {narrowest_power_profile, widest_power_profile}, "");
  schema.add("--ema", ema, "");
  schema.apply({{"--ema-sigma-rel", {line.value("ema-sigma-rel"), "command line"}},
                {"--ema", {line.value("ema", "true"), "command line"}}});
  if (!ema) fail(ExitCode::options, "--ema-sigma-rel asks for a moving average, and --ema false for none");
  return width;
}

}  // namespace ganymede
