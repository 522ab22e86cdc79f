#include "models/exchange/denoiser_settings.h"

#include "models/diffusion/processes/ddpm.h"
#include "models/exchange/run_settings.h"

namespace ganymede {

DenoiserShape shape_of_run(const Settings& run) {
  const auto value = [&](const char* key, const char* otherwise) {
    const auto setting = run.find(key);
    return setting == run.end() ? Setting{otherwise, ""} : setting->second;
  };
  return {parse_number("diffusion.label_dropout", value("diffusion.label_dropout", "0")) > 0,
          value("diffusion.process", "ddpm").value == "ddpm" && options_in<DdpmOptions>(run).learned_variance,
          static_cast<std::int64_t>(
              parse_number("diffusion.source_channels", value("diffusion.source_channels", "0")))};
}

Settings shape_settings(const ConfigReader& config, const std::string& key, std::int64_t out, std::int64_t in,
                        bool without_label) {
  if (out != in && out != 2 * in)
    config.refuse(key, fmt::format("{}, or twice as many with a learned variance, are expected", in));
  Settings settings{{"train.method", {"denoising", config.where()}}};
  if (out == 2 * in) settings["ddpm.learned_variance"] = {"true", config.where()};
  // The authors of DiT leave out one label in ten.
  settings["diffusion.label_dropout"] = {without_label ? "0.1" : "0", config.where()};
  return settings;
}

}  // namespace ganymede
