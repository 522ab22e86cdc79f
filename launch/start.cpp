#include "launch/start.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "launch/captions.h"
#include "launch/conditions.h"
#include "launch/device.h"
#include "launch/start_record.h"

namespace ganymede {
namespace fs = std::filesystem;

std::string check_dataset(const ImageDataset& dataset, const ImageSpec& spec) {
  const auto expect = [](const char* what, std::int64_t found, std::int64_t expected, const char* remedy) {
    if (found != expected)
      fail(ExitCode::dataset, "the dataset has {} {}, the networks expect {}: {}", found, what, expected,
           remedy);
  };
  expect("channels", dataset.channels(), spec.channels,
         "pack it with --channels, or set the network's image_channels");
  expect("rows", dataset.height(), spec.height, "pack it with --size, or set the network's resolution");
  expect("columns", dataset.width(), spec.width, "pack it with --size, or set the network's resolution");
  check_companions(dataset, needs_of(spec));
  if (spec.sources != SourceImages::own && dataset.classes() > spec.classes)
    fail(ExitCode::dataset,
         "the dataset has {} classes, the networks expect at most {}: set the network's classes",
         dataset.classes(), spec.classes);
  if (spec.classes == 1) return "";
  if (const auto without = std::ranges::count(dataset.labels(), -1); without > 0)
    fail(ExitCode::dataset,
         "{} of {} images have no class, and the networks expect {}: pack them in class folders, or set the "
         "network's classes to 1",
         without, dataset.size(), spec.classes);
  if (dataset.classes() == spec.classes) return "";
  return fmt::format("the dataset has {} classes, the networks learn {}: some will never be seen",
                     dataset.classes(), spec.classes);
}

void check_same_run(const RunOptions& options, const ImageDataset& dataset, const Manifest& manifest,
                    const std::vector<std::string>& allowed) {
  const Settings stored = parse_recipe(manifest.header.at("options").get<std::string>(), "checkpoint");
  auto differences = options.schema.differences(stored, allowed);
  if (manifest.header.at("dataset") != dataset.digest() &&
      std::ranges::find(allowed, "data") == allowed.end())
    differences.emplace_back("data: another dataset than the checkpoint's");
  if (!differences.empty())
    fail(ExitCode::checkpoint,
         "the checkpoint of step {} belongs to another run: {}: give the same options, or name those that "
         "may change "
         "in --resume.allow",
         manifest.step, fmt::join(differences, "; "));
  if (options.method->images().tokens > 0) check_vocabulary(dataset, manifest);
}

namespace {

/// Whether the checkpoint lies in the run folder `out`.
bool is_own(const fs::path& checkpoint, const fs::path& out) {
  std::error_code ignored;
  return fs::equivalent(checkpoint / "..", out / "checkpoints", ignored);
}

/// Whether this is not the first start of a Slurm job, whose command is as it was.
bool is_requeued() {
  const char* count = std::getenv("SLURM_RESTART_COUNT");
  return count != nullptr && std::string_view(count) != "0";
}

SoundCheckpoint start_from(Process& process, const fs::path& path, const fs::path& out) {
  SoundCheckpoint start = find_checkpoint(process, path);
  // The same command comes again after each stop: it must not begin at PATH every time.
  process.together([&] {
    if (process.is_root() && !is_own(start.path, out) &&
        !CheckpointStore(out / "checkpoints", 1).list().empty())
      fail(ExitCode::storage,
           "{} already holds checkpoints, and {} is not one of them: --resume auto goes on with them; choose "
           "another --out to start from there once more",
           out.string(), start.path.string());
  });
  return start;
}

/// Nothing also where those that are there are damaged.
std::optional<SoundCheckpoint> sound_until(Process& process, const fs::path& out, std::int64_t last_step) {
  try {
    return newest_checkpoint(process, out, last_step);
  } catch (const AgreedError& error) {
    if (error.code() != ExitCode::checkpoint) throw;
    return std::nullopt;
  }
}

/// The newest sound checkpoint, unless starts from it have failed again and again: then the one before it. Counts this
/// start.
std::optional<SoundCheckpoint> newest_to_go_on_from(Process& process, const fs::path& out) {
  StartRecord record = StartRecord::parse(process.from_root([&] { return StartRecord::read(out).text(); }));
  const bool any_step = record.last_step == StartRecord{}.last_step;
  auto start = any_step ? newest_checkpoint(process, out) : sound_until(process, out, record.last_step);
  if (!start && !any_step) {
    record = {};
    start = newest_checkpoint(process, out);
  }
  if (!start) return std::nullopt;
  if (record.step == start->manifest.step && record.starts >= StartRecord::most_failures)
    if (auto before = sound_until(process, out, record.step - 1)) {
      if (process.is_root())
        print_error(fmt::format("warning: {} starts from step {} did not get to another checkpoint: this one goes on "
                                "from the checkpoint before it, of step {}",
                                record.starts, record.step, before->manifest.step));
      record.last_step = before->manifest.step;
      start = std::move(before);
    }
  record.starts = record.step == start->manifest.step ? record.starts + 1 : 1;
  record.step = start->manifest.step;
  process.together([&] {
    if (process.is_root()) record.write(out);
  });
  return start;
}

}  // namespace

std::optional<SoundCheckpoint> find_start(Process& process, const std::string& choice, const fs::path& out,
                                          bool fresh) {
  if (choice == "auto") return newest_to_go_on_from(process, out);
  if (choice != "never") {
    SoundCheckpoint start = start_from(process, choice, out);
    const bool once_more = process.world().agree(process.is_root() && is_requeued() && is_own(start.path, out) ? 1 : 0) > 0;
    if (!once_more) return start;
    if (process.is_root())
      print_error(fmt::format("warning: the job is back in its queue: --resume {} was taken by its first start, and this "
                              "one goes on with the newest checkpoint",
                              choice));
    return newest_to_go_on_from(process, out);
  }
  process.together([&] {
    if (!fresh && process.is_root())
      fail(ExitCode::storage, "{} already holds a run: choose another --out, or go on with --resume auto",
           out.string());
  });
  return std::nullopt;
}

namespace {

/// A tensor to begin with, by name; what is saved without a moving average begins it with the weights, as
/// initialisation does.
const at::Tensor* source_of(const std::string& name, const std::map<std::string, at::Tensor>& saved) {
  if (const auto found = saved.find(name); found != saved.end()) return &found->second;
  for (const auto& [average, kind] : {std::pair{"/ema/", "/weight/"}, {"/ema_buffer/", "/buffer/"}})
    if (const auto place = name.find(average); place != std::string::npos) {
      std::string other = name;
      const auto found = saved.find(other.replace(place, std::strlen(average), kind));
      return found == saved.end() ? nullptr : &found->second;
    }
  return nullptr;
}

void check_finite(const std::string& name, const at::Tensor& tensor, const fs::path& checkpoint) {
  if (!tensor.isfinite().all().item<bool>())
    fail(ExitCode::checkpoint, "{}: {} holds numbers that are not finite: begin with an earlier checkpoint",
         checkpoint.string(), name);
}

/// What a run begins with: of its players' tensors by name those that fit, and the sentence that says so.
struct Beginning {
  std::map<std::string, at::Tensor> tensors;
  std::string sentence;
};

Beginning take_over(const std::vector<Player*>& players, const SoundCheckpoint& checkpoint) {
  const NamedTensors tensors = read_tensors(checkpoint.path, checkpoint.manifest);
  const std::map<std::string, at::Tensor> saved(tensors.begin(), tensors.end());
  Beginning beginning;
  std::vector<std::string> skipped;
  for (const Player* player : players)
    for (const auto& [name, tensor] : player->state()) {
      if (name.find("/adam_") != std::string::npos || name.find("/guard/") != std::string::npos)
        continue;
      const at::Tensor* source = source_of(name, saved);
      if (source && source->sizes() == tensor.sizes()) {
        check_finite(name, *source, checkpoint.path);
        beginning.tensors[name] = *source;
      } else {
        skipped.push_back(name + (source ? " (another shape)" : " (absent)"));
      }
    }
  if (beginning.tensors.empty())
    fail(ExitCode::checkpoint, "{}: no tensor fits this recipe's networks", checkpoint.path.string());
  beginning.sentence = fmt::format("init-from {}: took {} tensors, skipped {}{}", checkpoint.path.string(),
                                   beginning.tensors.size(), skipped.size(),
                                   skipped.empty() ? "" : fmt::format(": {}", fmt::join(skipped, ", ")));
  return beginning;
}

}  // namespace

void resolve_precision(Process& process, TrainOptions& options, const Manifest* begun) {
  if (options.precision != "auto") return;
  if (begun) {
    const Settings stored = parse_recipe(begun->header.at("options").get<std::string>(), "checkpoint");
    if (const auto setting = stored.find("train.precision"); setting != stored.end())
      options.precision = setting->second.value;
  } else {
    options.precision =
        process.world().agree(has_bf16_units(process.device()) ? 0 : 1) == 0 ? "bf16" : "fp32";
  }
}

void init_from(Process& process, Method& method, const fs::path& path, const ImageDataset* told, Communicator& group) {
  const SoundCheckpoint checkpoint = find_checkpoint(process, path);
  Beginning beginning;  // on rank 0
  process.together([&] {
    if (!process.is_root()) return;
    beginning = take_over(method.players(), checkpoint);
    const bool knows_tokens = std::ranges::any_of(beginning.tensors, [](const auto& item) {
      return item.first.ends_with(".token_embedding.weight");
    });
    if (told && knows_tokens) check_vocabulary(*told, checkpoint.manifest);
    fmt::print("{}\n", beginning.sentence);
  });
  for (Player* player : method.players())
    player->fill_state(group, 0, [&](const NamedTensors& kind) {
      for (const auto& [name, tensor] : kind)
        if (const auto found = beginning.tensors.find(name); found != beginning.tensors.end())
          tensor.copy_(found->second);
    });
}

}  // namespace ganymede
