#include "models/exchange/pipeline_format.h"

#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/networks/dit.h"
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
std::string obstacle(const SchedulerFormat& scheduler, const Settings& run, bool on_latents) {
  const std::string name = scheduler.config.at("_class_name");
  if (options_in<UnetOptions>(run).classes > 1) return "diffusers has no pipeline of a UNet with labels";
  if (on_latents && !scheduler.config.contains("beta_schedule"))
    return "LDMPipeline has the times of a chain, and " + name + " has none";
  if (!on_latents && !scheduler.plain)
    return "DDPMPipeline does not scale what the network sees, as " + name + " needs it";
  if (shape_of_run(run).learned_variance && name != "DDPMScheduler")
    return name + " does not take a learned variance";
  return "";
}

PipelineFormat unet_pipeline(const NetworkFormat& network, const NetworkFormat* first_stage,
                             const Settings& run) {
  PipelineFormat format{scheduler_of_run(run)};
  format.first_stage_folder = first_stage ? "vqvae" : "";
  const bool ddim = format.scheduler.config.at("_class_name") == "DDIMScheduler";
  format.remark = obstacle(format.scheduler, run, first_stage != nullptr);
  if (!format.remark.empty()) return format;
  format.index = index_of(first_stage ? "LDMPipeline"
                          : ddim      ? "DDIMPipeline"
                                      : "DDPMPipeline",
                          network, format.scheduler);
  if (first_stage) format.index[format.first_stage_folder] = {"diffusers", first_stage->class_name};
  return format;
}

PipelineFormat dit_pipeline(const NetworkFormat& network, const NetworkFormat* first_stage,
                            const Settings& run) {
  PipelineFormat format{scheduler_of_run(run)};
  format.first_stage_folder = "vae";
  json& config = format.scheduler.config;
  // DiTPipeline drops what the network says of the variance before the scheduler sees it.
  if (config.value("variance_type", "") == "learned_range") {
    config["variance_type"] = "fixed_" + options_in<DrawOptions>(run).solver_options.variance;
    std::string& difference = format.scheduler.difference;
    difference += (difference.empty() ? "" : "; ") + std::string("its steps have a fixed variance, not the learned one");
  }
  if (!format.scheduler.plain || !config.contains("beta_schedule")) {
    format.remark = "DiTPipeline does not scale what the network sees, as " +
                    config.at("_class_name").get<std::string>() + " needs it";
    return format;
  }
  format.index = index_of("DiTPipeline", network, format.scheduler);
  format.index[format.first_stage_folder] = {"diffusers",
                                             first_stage ? first_stage->class_name : "AutoencoderKL"};
  if (!first_stage)
    format.remark = "DiTPipeline.from_pretrained(DIR, vae=...) wants the autoencoder of the latents";
  else if (const std::int64_t classes = options_in<DitOptions>(run).classes; classes != 1000)
    format.remark = fmt::format(
        "DiTPipeline takes label 1000 for none, and this network knows {} classes: call it "
        "with guidance_scale=1",
        classes);
  return format;
}

}  // namespace

PipelineFormat pipeline_of_run(const NetworkFormat& network, const Settings& run) {
  if (const std::int64_t channels = shape_of_run(run).source_channels; channels > 0) {
    PipelineFormat format{scheduler_of_run(run)};
    format.remark = fmt::format("no pipeline lays sources of {} channels beside what it denoises", channels);
    return format;
  }
  const NetworkFormat* first_stage = first_stage_of_run(run);
  return network.class_name == "UNet2DModel" ? unet_pipeline(network, first_stage, run)
                                             : dit_pipeline(network, first_stage, run);
}

}  // namespace ganymede
