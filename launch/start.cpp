#include "launch/start.h"

#include <fmt/ranges.h>

namespace ganymede {
namespace fs = std::filesystem;

void check_dataset(const ImageDataset& dataset, const ImageSpec& spec) {
  const auto expect = [](const char* what, std::int64_t found, std::int64_t expected, const char* remedy) {
    if (found != expected)
      fail(ExitCode::dataset, "the dataset has {} {}, the networks expect {}: {}", found, what, expected,
           remedy);
  };
  expect("channels", dataset.channels(), spec.channels,
         "pack it with --channels, or set the network's image_channels");
  expect("rows", dataset.height(), spec.height, "pack it with --size, or set the network's resolution");
  expect("columns", dataset.width(), spec.width, "pack it with --size, or set the network's resolution");
  if (dataset.classes() > spec.classes)
    fail(ExitCode::dataset,
         "the dataset has {} classes, the networks expect at most {}: set the network's classes",
         dataset.classes(), spec.classes);
}

void check_same_run(const RunOptions& options, const ImageDataset& dataset, const Manifest& manifest,
                    const std::vector<std::string>& allowed) {
  const Settings stored = parse_recipe(manifest.header.at("options").get<std::string>(), "checkpoint");
  auto differences = options.schema.differences(stored, allowed);
  if (manifest.header.at("dataset") != dataset.digest() &&
      std::ranges::find(allowed, "data") == allowed.end())
    differences.push_back("data: another dataset than the checkpoint's");
  if (!differences.empty())
    fail(ExitCode::checkpoint,
         "the checkpoint of step {} belongs to another run: {}: give the same options, or name those that "
         "may change "
         "in --resume.allow",
         manifest.step, fmt::join(differences, "; "));
}

namespace {

/// RUN or CHECKPOINT: the checkpoint itself, or a run's newest.
fs::path checkpoint_at(const fs::path& path) {
  if (!fs::exists(path))
    fail(ExitCode::checkpoint, "{} does not exist: name a run or a checkpoint", path.string());
  if (fs::exists(path / Manifest::file_name)) return path;
  const auto list = CheckpointStore(path / "checkpoints", 1).list();
  if (list.empty())
    fail(ExitCode::checkpoint, "{} is neither a checkpoint nor a run with one", path.string());
  return list.front();
}

}  // namespace

std::optional<SoundCheckpoint> find_start(Process& process, const std::string& choice, const fs::path& out,
                                          bool fresh) {
  if (choice == "auto") return newest_checkpoint(process, out);
  if (choice != "never")
    return open_checkpoint(process, process.from_root([&] { return checkpoint_at(choice).string(); }));
  process.together([&] {
    if (!fresh && process.is_root())
      fail(ExitCode::storage, "{} already holds a run: choose another --out, or go on with --resume auto",
           out.string());
  });
  return std::nullopt;
}

void init_from(Process& process, Method& method, const fs::path& path) {
  process.together([&] {
    if (!process.is_root()) return;
    const fs::path checkpoint = checkpoint_at(path);
    const NamedTensors saved = read_tensors(checkpoint, read_manifest(checkpoint));
    const std::map<std::string, at::Tensor> by_name(saved.begin(), saved.end());
    std::int64_t taken = 0;
    std::vector<std::string> skipped;
    for (Player* player : method.players())
      for (const auto& [name, tensor] : player->state()) {
        if (name.find("/adam_") != std::string::npos) continue;
        const auto found = by_name.find(name);
        if (found != by_name.end() && found->second.sizes() == tensor.sizes()) {
          tensor.copy_(found->second);
          ++taken;
        } else {
          skipped.push_back(name + (found == by_name.end() ? " (absent)" : " (another shape)"));
        }
      }
    fmt::print("init-from {}: took {} tensors, skipped {}{}\n", checkpoint.string(), taken, skipped.size(),
               skipped.empty() ? "" : fmt::format(": {}", fmt::join(skipped, ", ")));
    if (taken == 0)
      fail(ExitCode::checkpoint, "{}: no tensor fits this recipe's networks", checkpoint.string());
  });
  for (Player* player : method.players()) player->broadcast(process.world(), 0);
}

}  // namespace ganymede
