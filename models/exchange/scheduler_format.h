#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/options.h"
#include "models/exchange/config_reader.h"

namespace ganymede {

/// What diffusers samples a denoiser with: scheduler_config.json, with "_class_name".
struct SchedulerFormat {
  nlohmann::json config;
  /// Whether a network sees what the scheduler goes through as it is, from noise of variance 1 on: then pipelines that
  /// scale nothing can use it.
  bool plain = true;
  /// Where its steps are not those of the run's solver, how they differ; else empty.
  std::string difference;
};

/// By a run's process and solver:
///
///     ddpm   ddpm -> DDPMScheduler, ddim -> DDIMScheduler, dpm++2m -> DPMSolverMultistepScheduler,
///            euler -> EulerDiscreteScheduler, heun -> HeunDiscreteScheduler
///     edm    dpm++2m -> EDMDPMSolverMultistepScheduler, all others -> EDMEulerScheduler
///     flow   heun -> FlowMatchHeunDiscreteScheduler, all others -> FlowMatchEulerDiscreteScheduler
///
/// The number of steps is no part of a scheduler, nor is guidance: who samples names them.
SchedulerFormat scheduler_of_run(const Settings& run);

/// The settings of a run that a scheduler decides: process, schedule, what is predicted, solver, spacing, clipping.
/// Throws Error(checkpoint) where this program has no such process.
Settings scheduler_settings(const ConfigReader& scheduler);
/// Where these settings draw otherwise than the scheduler, how; else empty.
std::string scheduler_remark(const ConfigReader& scheduler);

}  // namespace ganymede
