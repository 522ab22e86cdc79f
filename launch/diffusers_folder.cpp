#include "launch/diffusers_folder.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <set>

#include "core/error.h"
#include "core/strict_json.h"
#include "core/weights_file.h"

namespace ganymede {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* config_name = "config.json";
constexpr const char* index_name = "model_index.json";
constexpr const char* scheduler_name = "scheduler/scheduler_config.json";
constexpr const char* weights_stem = "diffusion_pytorch_model";
constexpr const char* label_key = "last_label";
constexpr std::int64_t largest_json = 16 << 20;

bool is_there(const fs::path& path) {
  std::error_code unreachable;
  return fs::exists(path, unreachable);
}

/// Python writes numbers that JSON has not, such as a schedulers' bound of -Infinity: they become null.
std::string without_infinities(std::string text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      quoted = !quoted;
    for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
      if (!quoted && text.compare(i, word.size(), word) == 0) text.replace(i, word.size(), "null");
  }
  return text;
}

ConfigReader read_json(const fs::path& path) {
  const std::string text = without_infinities(read_text_file(path, largest_json));
  return {parse_strictly(text, ExitCode::checkpoint, path.string()), path.string()};
}

fs::path weights_path(const DiffusersNetwork& network, const char* extension) {
  return network.folder / (std::string(weights_stem) + extension);
}

/// The files that hold the weights.
std::vector<fs::path> weights_of(const DiffusersNetwork& network) {
  for (const char* extension : {".safetensors", ".bin"})
    if (const fs::path path = weights_path(network, extension); is_there(path)) return {path};
  const fs::path index = weights_path(network, ".safetensors.index.json");
  if (!is_there(index))
    fail(ExitCode::checkpoint, "{} holds no {}.safetensors (or .bin): variants such as fp16 are not read",
         network.folder.string(), weights_stem);
  const json map = parse_strictly(read_text_file(index, largest_json), ExitCode::checkpoint, index.string())
                       .value("weight_map", json::object());
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != name.npos)
      fail(ExitCode::checkpoint, "{}: {} is in no file beside it", index.string(), quote(tensor));
    names.insert(name);
  }
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(network.folder / name);
  return files;
}

DiffusersNetwork open_network(const fs::path& folder) {
  const ConfigReader config = read_json(folder / config_name);
  return {format_of_class(config), config, folder};
}

/// The networks within a pipeline's folder.
std::vector<DiffusersNetwork> networks_within(const fs::path& folder) {
  std::set<std::string_view> names;
  for (const NetworkFormat& format : network_formats()) names.insert(format.folder);
  std::vector<DiffusersNetwork> found;
  for (const std::string_view name : names)
    if (is_there(folder / name / config_name)) found.push_back(open_network(folder / name));
  if (found.empty())
    fail(ExitCode::checkpoint,
         "{} is no folder of diffusers' that is known here: it has neither {} nor {} in {}", folder.string(),
         config_name, config_name, fmt::join(names, ", "));
  return found;
}

/// What is in the folder of a pipeline, or of a network alone.
DiffusersFolder networks_of(const fs::path& folder) {
  if (is_there(folder / config_name)) return {open_network(folder), {}, {}};
  const std::vector<DiffusersNetwork> found = networks_within(folder);
  std::vector<const DiffusersNetwork*> denoisers, first_stages;
  for (const DiffusersNetwork& network : found)
    (network.format.is_first_stage() ? first_stages : denoisers).push_back(&network);
  if (denoisers.size() > 1 || first_stages.size() > 1)
    fail(ExitCode::checkpoint, "{} holds several networks of a kind: name the folder of one",
         folder.string());
  if (denoisers.empty()) return {*first_stages.front(), {}, {}};
  DiffusersFolder pipeline{*denoisers.front(), {}, {}};
  if (!first_stages.empty()) pipeline.first_stage = *first_stages.front();
  return pipeline;
}

void write_json(const fs::path& path, const json& value) {
  write_file_durably(path, json_text(value, 2) + "\n");
}

/// Returns the bytes of the weights.
std::int64_t write_part(const fs::path& folder, const DiffusersPart& part, const DiffusersExport& made) {
  create_folders(folder);
  json config = part.config;
  config["_class_name"] = part.format.class_name;
  config["_diffusers_version"] = diffusers_version;
  write_json(folder / config_name, config);
  std::map<std::string, std::string> metadata{
      {"format", "pt"}, {"step", std::to_string(made.step)}, {"program", "ganymede"}};
  if (made.last_label_is_none && !part.format.is_first_stage()) metadata[label_key] = "none";
  return write_safetensors(folder / (std::string(weights_stem) + ".safetensors"), part.tensors, metadata)
      .size;
}

}  // namespace

DiffusersFolder open_diffusers_folder(const fs::path& folder) {
  DiffusersFolder found = networks_of(folder);
  if (found.network.format.is_first_stage()) return found;
  // A network's own folder may lie beside the scheduler's.
  for (const fs::path& root : {folder, found.network.folder / ".."})
    if (!found.scheduler && is_there(root / scheduler_name))
      found.scheduler = read_json(root / scheduler_name);
  if (!found.scheduler && is_there(folder / index_name))
    fail(ExitCode::checkpoint, "{}: a pipeline without its {}, which says what its network has learned: copy it too",
         folder.string(), scheduler_name);
  return found;
}

bool says_last_label_is_none(const DiffusersNetwork& network) {
  const fs::path path = weights_path(network, ".safetensors");
  if (!is_there(path)) return false;
  const auto metadata = SafetensorsFile::open(path).metadata();
  const auto found = metadata.find(label_key);
  return found != metadata.end() && found->second == "none";
}

NamedTensors read_diffusers_tensors(const DiffusersNetwork& network) {
  NamedTensors theirs;
  std::set<std::string> names;
  for (const fs::path& path : weights_of(network)) {
    const WeightsFile file = WeightsFile::open(path);
    for (const auto& [name, type] : file.tensors()) {
      if (!names.insert(name).second)
        fail(ExitCode::checkpoint, "{}: {} is also in another file", path.string(), quote(name));
      theirs.emplace_back(name, file.read(name).to(at::kFloat));
    }
  }
  return network.format.to_ours(theirs, network.config);
}

std::int64_t write_diffusers_folder(const fs::path& folder, const DiffusersExport& made) {
  if (is_there(folder)) fail(ExitCode::storage, "{} is there already: choose another --out", folder.string());
  fs::path temporary = folder;
  temporary += ".tmp";
  fs::remove_all(temporary);
  std::int64_t bytes = 0;
  for (const DiffusersPart& part : made.networks) bytes += write_part(temporary / part.folder, part, made);
  if (const auto& pipeline = made.pipeline) {
    create_folders((temporary / scheduler_name).parent_path());
    json scheduler = pipeline->scheduler.config;
    scheduler["_diffusers_version"] = diffusers_version;
    write_json(temporary / scheduler_name, scheduler);
    if (!pipeline->index.is_null()) write_json(temporary / index_name, pipeline->index);
  }
  rename_durably(temporary, folder);
  return bytes;
}

}  // namespace ganymede
