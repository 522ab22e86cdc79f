#include "models/exchange/network_format.h"

#include <fmt/ranges.h>

#include "core/strict_json.h"
#include "models/exchange/networks/autoencoder_kl.h"
#include "models/exchange/networks/dit_transformer_2d_model.h"
#include "models/exchange/networks/unet_2d_model.h"
#include "models/exchange/networks/vq_model.h"

namespace ganymede {
namespace {

// One line a class, each in models/exchange/networks/<name>.h.
constexpr NetworkFormat format_table[] = {
    autoencoder_kl,
    dit_transformer_2d_model,
    unet_2d_model,
    vq_model,
};

/// What classes were called in files of before.
constexpr std::pair<std::string_view, std::string_view> former_names[] = {
    {"Transformer2DModel", "DiTTransformer2DModel"},
};

bool is(const Settings& run, std::string_view key, std::string_view value) {
  const auto setting = run.find(std::string(key));
  return setting != run.end() && setting->second.value == value;
}

}  // namespace

std::span<const NetworkFormat> network_formats() {
  return format_table;
}

const NetworkFormat& format_of_run(const Settings& run) {
  std::vector<std::string> known;
  for (const NetworkFormat& format : format_table) {
    if (is(run, "train.method", format.method) && is(run, format.choice, format.network)) return format;
    known.push_back(fmt::format("{} = {}", format.choice, format.network));
  }
  fail(ExitCode::options, "diffusers has no class for this run's networks: it has those of {}",
       fmt::join(known, ", "));
}

const NetworkFormat* first_stage_of_run(const Settings& run) {
  if (!is(run, "diffusion.first_stage", "autoencoder")) return nullptr;
  const auto found = std::ranges::find_if(format_table, [&](const NetworkFormat& format) {
    return format.is_first_stage() && is(run, format.choice, format.network);
  });
  if (found == std::end(format_table))
    fail(ExitCode::options, "diffusers has no class for this run's first stage");
  return &*found;
}

const NetworkFormat& format_of_class(const ConfigReader& config) {
  std::string wanted = config.class_name();
  for (const auto& [before, now] : former_names)
    if (wanted == before) wanted = now;
  std::vector<std::string_view> known;
  for (const NetworkFormat& format : format_table) {
    if (wanted == format.class_name) return format;
    known.push_back(format.class_name);
  }
  fail(ExitCode::checkpoint, "{}: the class {} is not known here: it may be {}", config.where(),
       quote(config.class_name()), fmt::join(known, ", "));
}

}  // namespace ganymede
