#include "models/exchange/pipeline_format.h"

#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/networks/unet.h"
#include "models/exchange/denoiser_settings.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

using nlohmann::json;

json index_of(const std::string& pipeline, const NetworkFormat& network, const SchedulerFormat& scheduler) {
  return {{"_class_name", pipeline},
          {"_diffusers_version", diffusers_version},
          {std::string(network.folder), {"diffusers", network.class_name}},
          {"scheduler", {"diffusers", scheduler.config.at("_class_name")}}};
}

/// Why no pipeline takes a UNet with this scheduler, or "".
std::string obstacle(const SchedulerFormat& scheduler, const Settings& run) {
  const std::string name = scheduler.config.at("_class_name");
  if (options_in<UnetOptions>(run).classes > 1) return "diffusers has no pipeline of a UNet with labels";
  if (!scheduler.plain) return "DDPMPipeline does not scale what the network sees, as " + name + " needs it";
  if (shape_of_run(run).learned_variance && name != "DDPMScheduler")
    return name + " does not take a learned variance";
  return "";
}

PipelineFormat unet_pipeline(const NetworkFormat& network, const Settings& run) {
  PipelineFormat format{scheduler_of_run(run), {}, ""};
  const bool ddim = format.scheduler.config.at("_class_name") == "DDIMScheduler";
  format.remark = obstacle(format.scheduler, run);
  if (format.remark.empty())
    format.index = index_of(ddim ? "DDIMPipeline" : "DDPMPipeline", network, format.scheduler);
  return format;
}

PipelineFormat dit_pipeline(const NetworkFormat& network, const Settings& run) {
  PipelineFormat format{scheduler_of_run(run), {}, ""};
  json& config = format.scheduler.config;
  // DiTPipeline drops what the network says of the variance before the scheduler sees it.
  if (config.value("variance_type", "") == "learned_range")
    config["variance_type"] = "fixed_" + options_in<DrawOptions>(run).solver_options.variance;
  if (!format.scheduler.plain || !config.contains("beta_schedule")) {
    format.remark = "DiTPipeline does not scale what the network sees, as " +
                    config.at("_class_name").get<std::string>() + " needs it";
    return format;
  }
  format.index = index_of("DiTPipeline", network, format.scheduler);
  format.index["vae"] = {"diffusers", "AutoencoderKL"};
  format.remark = "DiTPipeline.from_pretrained(DIR, vae=...) wants the autoencoder of the latents";
  return format;
}

}  // namespace

PipelineFormat pipeline_of_run(const NetworkFormat& network, const Settings& run) {
  return network.class_name == "UNet2DModel" ? unet_pipeline(network, run) : dit_pipeline(network, run);
}

}  // namespace ganymede
