#include "launch/environment.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <ctime>
#include <fstream>
#include <set>

#include "core/host_name.h"

namespace ganymede {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

namespace {

/// What Linux calls the processor, or "".
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name"))
      if (const auto colon = line.find(": "); colon != line.npos) return line.substr(colon + 2);
  return "";
}

}  // namespace

nlohmann::json environment_of(Process& process) {
  const auto names = process.world().gather_texts(host_name());
  const std::set<std::string> hosts(names.begin(), names.end());
  return {{"time", utc_now()},
          {"ranks", process.size()},
          {"hosts", hosts},
          {"threads", at::get_num_threads()},
          {"device", process.device().is_cuda() ? "cuda" : "cpu"},
          {"processor", processor_name()},
          {"ganymede", GANYMEDE_VERSION},
          {"torch", TORCH_VERSION}};
}

}  // namespace ganymede
