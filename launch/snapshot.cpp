#include "launch/snapshot.h"

#include <ATen/ATen.h>

#include <set>
#include <unordered_map>

#include "launch/saved_tensors.h"

namespace ganymede {

NamedTensors state_of(Method& method) {
  NamedTensors state;
  for (const Player* player : method.players()) {
    const NamedTensors tensors = player->state();
    state.insert(state.end(), tensors.begin(), tensors.end());
  }
  for (const auto& item : method.state()) state.push_back(item);
  return state;
}

NamedTensors shard_of(Method& method, const std::vector<TensorRecord>& layout, int rank) {
  NamedTensors parts;
  std::size_t index = 0;
  const auto add = [&](const NamedTensors& tensors, bool passes) {
    for (const auto& [name, tensor] : tensors)
      for (auto& [key, part] : parts_of(layout[index++], tensor, rank))
        parts.emplace_back(key, passes ? part.clone() : part);
  };
  for (const Player* player : method.players())
    player->visit_state([&](const NamedTensors& kind) { add(kind, player->is_sharded()); });
  add(method.state(), false);
  return parts;
}

namespace {

/// Whether the header is CheckpointSaver's.
void check_header(const Manifest& manifest, const std::filesystem::path& checkpoint) {
  const nlohmann::json& header = manifest.header;
  const auto has = [&](const char* key, bool (nlohmann::json::*is)() const noexcept) {
    return header.contains(key) && (header[key].*is)();
  };
  if (!header.is_object() || !has("options", &nlohmann::json::is_string) ||
      !has("dataset", &nlohmann::json::is_string) || !has("position", &nlohmann::json::is_number_integer) ||
      !has("reseed", &nlohmann::json::is_number_integer) ||
      !has("ranks", &nlohmann::json::is_number_integer) || !has("updates", &nlohmann::json::is_object))
    fail(ExitCode::checkpoint, "{} is none of a training run: its manifest does not say how it was made",
         checkpoint.string());
}

}  // namespace

SoundCheckpoint open_checkpoint(Process& process, const std::filesystem::path& checkpoint) {
  const std::string text = process.from_root([&] {
    const Manifest manifest = read_manifest(checkpoint);
    check_header(manifest, checkpoint);
    return manifest.to_text();
  });
  SoundCheckpoint sound{checkpoint, Manifest::parse(text, checkpoint.string())};
  process.together([&] { verify_shards(checkpoint, sound.manifest, process.rank(), process.size()); });
  return sound;
}

std::optional<SoundCheckpoint> newest_checkpoint(Process& process, const std::filesystem::path& run,
                                                 std::int64_t last_step) {
  const std::string listed = process.from_root([&] {
    std::string text;
    for (const auto& path : CheckpointStore(run / "checkpoints", 1).list())
      if (step_of(path) <= last_step) text += path.string() + '\n';
    return text;
  });
  std::istringstream lines(listed);
  std::int64_t passed_over = 0;
  std::string reason;
  for (std::string candidate; std::getline(lines, candidate); ++passed_over) {
    try {
      return open_checkpoint(process, candidate);
    } catch (const AgreedError& error) {
      if (error.code() != ExitCode::checkpoint) throw;
      reason = error.what();
      if (process.is_root()) print_error(fmt::format("warning: passed over {}: {}", candidate, reason));
    }
  }
  if (passed_over == 0) return std::nullopt;
  throw AgreedError(ExitCode::checkpoint, none_sound_text(run, passed_over), process.is_root());
}

SoundCheckpoint find_checkpoint(Process& process, const std::filesystem::path& run_or_checkpoint) {
  const std::string manifest = process.from_root([&]() -> std::string {
    std::error_code error;
    if (!std::filesystem::exists(run_or_checkpoint, error))
      fail(ExitCode::checkpoint, "{} {}: name a run or one of its checkpoints", run_or_checkpoint.string(),
           error ? "cannot be reached: " + error.message() : "does not exist");
    const auto path = run_or_checkpoint / Manifest::file_name;
    return std::filesystem::exists(path, error) ? path.string() : "";
  });
  if (!manifest.empty()) return open_checkpoint(process, run_or_checkpoint);
  auto newest = newest_checkpoint(process, run_or_checkpoint);
  if (!newest)
    throw AgreedError(ExitCode::checkpoint,
                      fmt::format("{} holds no checkpoint: name a run or one of its checkpoints",
                                  run_or_checkpoint.string()),
                      process.is_root());
  return *std::move(newest);
}

void restore(Process& process, Method& method, const SoundCheckpoint& checkpoint, Communicator& group) {
  std::unordered_map<std::string, at::Tensor> by_name;  // on rank 0
  process.together([&] {
    if (!process.is_root()) return;
    const NamedTensors saved = read_tensors(checkpoint.path, checkpoint.manifest);
    const NamedTensors state = state_of(method);
    by_name = {saved.begin(), saved.end()};
    std::string differences;
    for (const auto& [name, tensor] : state) {
      const auto found = by_name.find(name);
      if (found == by_name.end())
        differences += fmt::format("; {} is missing", name);
      else if (found->second.sizes() != tensor.sizes())
        differences += fmt::format("; {} is {} there, {} here", name, fmt::join(found->second.sizes(), "x"),
                                   fmt::join(tensor.sizes(), "x"));
    }
    if (!differences.empty() || saved.size() != state.size())
      fail(ExitCode::checkpoint, "{} holds other networks{}: resume with the recipe it was made with",
           checkpoint.path.string(), differences.substr(0, 300));
  });
  const auto fill = [&](const NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) tensor.copy_(by_name.at(name));
  };
  if (process.is_root()) fill(method.state());
  for (const auto& [name, tensor] : method.state()) group.broadcast(tensor, 0)->wait();
  for (Player* player : method.players()) {
    player->fill_state(group, 0, fill);
    player->set_updates(checkpoint.manifest.header.at("updates").at(player->name()).get<std::int64_t>());
  }
}

namespace {

/// Nothing in checkpoints from before there was a watch.
CollapseMemory collapse_of(const nlohmann::json& header) {
  const auto found = header.find("collapse");
  if (found == header.end() || found->size() != 2) return {};
  return {found->at(0).get<std::int64_t>(), found->at(1).get<std::int64_t>()};
}

}  // namespace

RunProgress progress_of(const Manifest& manifest) {
  return {manifest.step, manifest.header.at("position").get<std::int64_t>(),
          manifest.header.at("reseed").get<std::uint64_t>(), collapse_of(manifest.header)};
}

}  // namespace ganymede
