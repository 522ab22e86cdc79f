#include "launch/saved_tensors.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cstring>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "core/options.h"
#include "launch/process.h"

namespace ganymede {
namespace {

/// How `b` differs from `a`, or nothing where every bit is the same.
std::string difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
    return fmt::format("{} [{}] and {} [{}]", c10::toString(a.scalar_type()), fmt::join(a.sizes(), ", "),
                       c10::toString(b.scalar_type()), fmt::join(b.sizes(), ", "));
  if (std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0) return "";
  const at::Tensor x = a.to(at::kDouble), apart = b.to(at::kDouble) - x;
  return fmt::format("relative L2 {:.3g}, largest difference {:.3g}",
                     (apart.norm() / x.norm()).item<double>(), apart.abs().max().item<double>());
}

}  // namespace

std::vector<std::filesystem::path> checkpoints_of(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path / Manifest::file_name, error) || step_of(path)) return {path};
  std::vector<std::filesystem::path> found = CheckpointStore(path / "checkpoints", 1).list();
  if (found.empty())
    fail(ExitCode::checkpoint, "{} {}: name a run or one of its checkpoints", path.string(),
         std::filesystem::exists(path, error) ? "holds no checkpoint" : "does not exist");
  return found;
}

std::string none_sound_text(const std::filesystem::path& run, std::int64_t count) {
  return fmt::format(
      "none of the {} checkpoints in {} is sound: restore one from a copy, or start anew in another folder",
      count, run.string());
}

SavedTensors read_saved(const std::filesystem::path& path) {
  const std::vector<std::filesystem::path> checkpoints = checkpoints_of(path);
  for (const std::filesystem::path& checkpoint : checkpoints) try {
      SavedTensors saved{checkpoint, read_manifest(checkpoint), {}};
      for (auto& [name, tensor] : read_tensors(checkpoint, saved.manifest))
        saved.tensors.emplace(name, tensor);
      return saved;
    } catch (const Error& error) {
      if (error.code() != ExitCode::checkpoint || checkpoint == path) throw;
      print_error(fmt::format("warning: passed over {}: {}", checkpoint.string(), error.what()));
    }
  fail(ExitCode::checkpoint, "{}", none_sound_text(path, std::ssize(checkpoints)));
}

std::vector<std::string> option_differences(const SavedTensors& a, const SavedTensors& b) {
  const auto options_of = [](const SavedTensors& saved) {
    return parse_recipe(saved.manifest.header.value("options", ""), saved.path.string());
  };
  const Settings first = options_of(a), second = options_of(b);
  std::vector<std::string> lines;
  const auto add = [&](const char* name, const Settings& those, const Settings& others) {
    for (const auto& [key, setting] : those)
      if (const auto other = others.find(key); other == others.end() || other->second.value != setting.value)
        lines.push_back(fmt::format("{} {} = {}", name, key, setting.value));
  };
  add("A", first, second);
  add("B", second, first);
  return lines;
}

std::vector<std::string> tensor_differences(const SavedTensors& a, const SavedTensors& b) {
  std::vector<std::string> lines;
  for (const TensorRecord& record : a.manifest.tensors) {
    const auto other = b.tensors.find(record.name);
    const std::string text =
        other == b.tensors.end() ? "only in A" : difference(a.tensors.at(record.name), other->second);
    if (!text.empty()) lines.push_back(fmt::format("{}: {}", record.name, text));
  }
  for (const TensorRecord& record : b.manifest.tensors)
    if (!a.tensors.contains(record.name)) lines.push_back(fmt::format("{}: only in B", record.name));
  return lines;
}

}  // namespace ganymede
