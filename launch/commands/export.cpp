#include <map>

#include "core/error.h"
#include "core/safetensors.h"
#include "launch/commands.h"
#include "launch/flag_command.h"
#include "launch/snapshot.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede export --from RUN|CHECKPOINT --out FILE.safetensors [OPTION ...]

Writes the weights and buffers of a run's networks as safetensors, in float32. Names are
NETWORK.TENSOR, or with --network TENSOR alone.

)";

const std::vector<Flag> flags{
    {"from", "RUN|CHECKPOINT", "a run folder (its newest sound checkpoint) or one checkpoint"},
    {"out", "FILE", "the file to write; one that is there is replaced"},
    {"format", "safetensors", "[safetensors]"},
    {"network", "NAME", "one network, such as generator [all]"},
    {"ema", "true|false", "the moving average of the weights, of networks that have one [true]"},
    {"help", "", "this text"},
};

struct Request {
  fs::path from, out;
  std::string network;
  bool ema = true, asks_for_average = false;
};

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  Request request;
  request.from = line.required("from", "a run folder or a checkpoint");
  request.out = line.required("out", "the file to write");
  request.network = line.value("network");
  std::string format = "safetensors";
  OptionSchema schema;
  schema.add("--format", format, {"safetensors"}, "");
  schema.add("--ema", request.ema, "");
  for (const char* name : {"format", "ema"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  request.asks_for_average = line.has("ema") && request.ema;
  return request;
}

/// A checkpoint's tensors by network and kind (models/player.h).
using Networks = std::map<std::string, std::map<std::string, NamedTensors>>;

Networks networks_in(const SoundCheckpoint& checkpoint) {
  Networks networks;
  for (const auto& [name, tensor] : read_tensors(checkpoint.path, checkpoint.manifest)) {
    const std::size_t first = name.find('/'), second = name.find('/', first + 1);
    if (second == std::string::npos) continue;
    networks[name.substr(0, first)][name.substr(first + 1, second - first - 1)].emplace_back(
        name.substr(second + 1), tensor);
  }
  std::erase_if(networks, [](const auto& network) { return !network.second.contains("weight"); });
  return networks;
}

NamedTensors chosen(const Networks& networks, const Request& request) {
  std::vector<std::string> names;
  for (const auto& [name, kinds] : networks) names.push_back(name);
  if (!request.network.empty() && !networks.contains(request.network))
    fail(ExitCode::options, "--network {}: give one of {}", request.network, fmt::join(names, ", "));
  NamedTensors tensors;
  bool any_average = false;
  for (const auto& [name, kinds] : networks) {
    if (!request.network.empty() && name != request.network) continue;
    const bool average = request.ema && kinds.contains("ema");
    any_average = any_average || average;
    for (const char* kind : {average ? "ema" : "weight", average ? "ema_buffer" : "buffer"})
      if (const auto found = kinds.find(kind); found != kinds.end())
        for (const auto& [tensor_name, tensor] : found->second)
          tensors.emplace_back(request.network.empty() ? name + "." + tensor_name : tensor_name, tensor);
  }
  if (request.asks_for_average && !any_average)
    fail(ExitCode::options, "--ema true: no moving average of these weights was kept: leave --ema out");
  return tensors;
}

ExitCode export_networks(Process& process, const Request& request) {
  const SoundCheckpoint checkpoint = find_checkpoint(process, request.from);
  process.together([&] {
    if (!process.is_root()) return;
    const NamedTensors tensors = chosen(networks_in(checkpoint), request);
    fs::path temporary = request.out;
    temporary += ".tmp";
    const FileRecord written = write_safetensors(
        temporary, tensors,
        {{"format", "pt"}, {"step", std::to_string(checkpoint.manifest.step)}, {"program", "ganymede"}});
    rename_durably(temporary, request.out);
    std::int64_t numbers = 0;
    for (const auto& [name, tensor] : tensors) numbers += tensor.numel();
    fmt::print("{}: step {}, {} tensors, {} numbers, {}\n", request.out.string(),
               with_thousands(checkpoint.manifest.step), with_thousands(std::ssize(tensors)),
               with_thousands(numbers), byte_text(written.size));
  });
  return ExitCode::done;
}

}  // namespace

int export_command(std::span<const std::string> arguments) {
  return run_flag_command(
      arguments, flags, [] { return usage + flag_help(flags); }, read_request, export_networks);
}

}  // namespace ganymede
