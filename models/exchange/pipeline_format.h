#pragma once

#include "models/exchange/network_format.h"
#include "models/exchange/scheduler_format.h"

namespace ganymede {

/// What diffusers draws images with: a pipeline of network, scheduler and, of latents, a first stage.
struct PipelineFormat {
  SchedulerFormat scheduler;
  /// model_index.json; null where diffusers has no pipeline for this network with this scheduler.
  nlohmann::json index = {};
  /// What a user should know of it: why there is no pipeline, or what it wants beside these files; may be empty.
  std::string remark = {};
  /// Where a first stage lies among the pipeline's folders.
  std::string first_stage_folder = {};
};

/// By a run's settings, with `network` from format_of_run():
///
///     UNet2DModel            DDPMPipeline, or DDIMPipeline with DDIMScheduler; of latents LDMPipeline; of networks
///                            without labels
///     DiTTransformer2DModel  DiTPipeline; of a run that knows no first stage it is handed the latents' autoencoder:
///                            from_pretrained(DIR, vae=...)
PipelineFormat pipeline_of_run(const NetworkFormat& network, const Settings& run);

/// The version of diffusers whose layout is written.
inline constexpr const char* diffusers_version = "0.40.0";

}  // namespace ganymede
