#include "models/exchange/scheduler_format.h"

#include <fmt/ranges.h>

#include <cmath>

#include "core/error.h"
#include "core/strict_json.h"
#include "models/diffusion/diffusion_sampler.h"
#include "models/diffusion/processes/ddpm.h"
#include "models/diffusion/processes/edm.h"
#include "models/diffusion/processes/flow.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

using nlohmann::json;
constexpr const char* other_leading_times =
    "of n steps its leading times are multiples of T / (n + 1), here of T / n";
using Names = std::pair<std::string_view, std::string_view>;  // ours, diffusers'

constexpr Names schedules[] = {
    {"linear", "linear"}, {"scaled-linear", "scaled_linear"}, {"cosine", "squaredcos_cap_v2"}};
constexpr Names predictions[] = {{"eps", "epsilon"}, {"x0", "sample"}, {"v", "v_prediction"}};

std::string theirs_of(std::span<const Names> names, std::string_view ours) {
  for (const auto& [own, foreign] : names)
    if (own == ours) return std::string(foreign);
  throw std::logic_error("scheduler: " + std::string(ours));
}

std::string ours_of(std::span<const Names> names, const ConfigReader& config, const std::string& key,
                    const std::string& otherwise) {
  const std::string text = config.text(key, otherwise);
  std::vector<std::string_view> known;
  for (const auto& [own, foreign] : names) {
    if (foreign == text) return std::string(own);
    known.push_back(foreign);
  }
  config.refuse(key, fmt::format("give one of {}", fmt::join(known, ", ")));
}

SchedulerFormat ddpm_scheduler(const DdpmOptions& process, const DrawOptions& draw) {
  json config{{"num_train_timesteps", process.schedule.steps},
              {"beta_start", process.schedule.beta_first},
              {"beta_end", process.schedule.beta_last},
              {"beta_schedule", theirs_of(schedules, process.schedule.kind)},
              {"trained_betas", nullptr},
              {"prediction_type", theirs_of(predictions, process.prediction)},
              {"steps_offset", draw.offset},
              {"timestep_spacing", draw.spacing}};
  bool plain = true;
  std::string difference = draw.clip ? "it clips no estimate of the image, and sampler.clip = true does" : "";
  if (draw.solver == "ddpm" || draw.solver == "ddim") {
    config.update({{"clip_sample", draw.clip}, {"clip_sample_range", 1.0}, {"thresholding", false}});
    difference.clear();
  }
  if (draw.solver == "ddpm") {
    config.update({{"_class_name", "DDPMScheduler"},
                   {"variance_type",
                    process.learned_variance ? "learned_range" : "fixed_" + draw.solver_options.variance}});
    if (draw.spacing == "trailing" || draw.offset > 0)
      difference =
          "where steps are fewer than times its last step adds noise too, unless they are \"leading\"";
  } else if (draw.solver == "ddim") {
    config.update({{"_class_name", "DDIMScheduler"}, {"set_alpha_to_one", draw.end == "image"}});
    if (draw.clip) difference = "it takes the noise of the unclipped image, unless use_clipped_model_output";
  } else if (draw.solver == "dpm++2m") {
    config.update({{"_class_name", "DPMSolverMultistepScheduler"},
                   {"algorithm_type", "dpmsolver++"},
                   {"solver_order", 2},
                   {"solver_type", "midpoint"},
                   {"lower_order_final", true},
                   {"final_sigmas_type", "zero"}});
    if (draw.spacing == "leading") difference = other_leading_times;
  } else {
    const bool euler = draw.solver == "euler";
    config["_class_name"] = euler ? "EulerDiscreteScheduler" : "HeunDiscreteScheduler";
    plain = false;
    if (!euler) difference = "it is of second order too, but in x / alpha";
  }
  if (draw.end != "image" && draw.solver != "ddim")
    difference = "its last step leads to the image, not to the first time";
  return {config, plain, difference};
}

SchedulerFormat edm_scheduler(const EdmOptions& process, const DrawOptions& draw) {
  const bool multistep = draw.solver == "dpm++2m";
  json config{{"_class_name", multistep ? "EDMDPMSolverMultistepScheduler" : "EDMEulerScheduler"},
              {"sigma_min", process.sigma_min},
              {"sigma_max", process.sigma_max},
              {"sigma_data", process.sigma_data},
              {"sigma_schedule", "karras"},
              {"rho", process.rho},
              {"num_train_timesteps", 1000},
              {"prediction_type", "epsilon"},
              {"final_sigmas_type", "zero"}};
  if (multistep)
    config.update({{"algorithm_type", "dpmsolver++"},
                   {"solver_order", 2},
                   {"solver_type", "midpoint"},
                   {"lower_order_final", true}});
  const bool exact = multistep || draw.solver == "euler" || draw.solver == "ddim";
  return {config, false, exact ? "" : "it is of first order, without noise"};
}

SchedulerFormat flow_scheduler(const FlowOptions& process, const DrawOptions& draw) {
  if (process.time_scale != std::floor(process.time_scale))
    fail(ExitCode::options, "diffusers' flow matching counts whole times, and flow.time_scale = {}",
         process.time_scale);
  const bool heun = draw.solver == "heun";
  // Without noise DDIM's step is Euler's.
  const bool straight = draw.solver == "euler" || (draw.solver == "ddim" && draw.solver_options.eta == 0);
  return {{{"_class_name", heun ? "FlowMatchHeunDiscreteScheduler" : "FlowMatchEulerDiscreteScheduler"},
           {"num_train_timesteps", static_cast<std::int64_t>(process.time_scale)},
           {"shift", 1.0}},
          /*plain=*/true,
          fmt::format("{}its own spacing of times ends at 1 / num_train_timesteps: hand it sigmas to choose",
                      heun || straight ? "" : fmt::format("it takes Euler's steps, not those of {}; ", draw.solver))};
}

void read_ddpm(const ConfigReader& config, DdpmOptions& options) {
  options.schedule.kind = ours_of(schedules, config, "beta_schedule", "linear");
  options.schedule.steps = config.integer("num_train_timesteps", 1000);
  options.schedule.beta_first = config.number("beta_start", 1e-4);
  options.schedule.beta_last = config.number("beta_end", 0.02);
  options.prediction = ours_of(predictions, config, "prediction_type", "epsilon");
  if (config.has("trained_betas"))
    config.refuse("trained_betas", "schedules here are given by beta_schedule");
  config.require("rescale_betas_zero_snr", false);
}

/// How a scheduler spaces times that its config does not tell.
std::string spacing_of(const ConfigReader& config) {
  const std::string name = config.class_name();
  const bool leading = name == "DDPMScheduler" || name == "DDIMScheduler" || name == "PNDMScheduler";
  return config.text("timestep_spacing", leading ? "leading" : "linspace");
}

/// Which solver of ours takes a scheduler's steps.
struct Known {
  std::string_view scheduler, process, solver;
};

constexpr Known known_schedulers[] = {
    {"DDPMScheduler", "ddpm", "ddpm"},
    {"DDIMScheduler", "ddpm", "ddim"},
    {"DPMSolverMultistepScheduler", "ddpm", "dpm++2m"},
    {"EulerDiscreteScheduler", "ddpm", "euler"},
    {"HeunDiscreteScheduler", "ddpm", "heun"},
    {"PNDMScheduler", "ddpm", "ddim"},
    {"EDMEulerScheduler", "edm", "euler"},
    {"EDMDPMSolverMultistepScheduler", "edm", "dpm++2m"},
    {"FlowMatchEulerDiscreteScheduler", "flow", "euler"},
    {"FlowMatchHeunDiscreteScheduler", "flow", "heun"},
};

const Known& known_scheduler(const ConfigReader& config) {
  std::vector<std::string_view> names;
  for (const Known& known : known_schedulers) {
    if (known.scheduler == config.class_name()) return known;
    names.push_back(known.scheduler);
  }
  fail(ExitCode::checkpoint, "{}: the class {} is not known here: it may be {}", config.where(),
       quote(config.class_name()), fmt::join(names, ", "));
}

/// Of what changes a scheduler's steps, and what a solver here does in its place: the values that it has one form of.
struct OneForm {
  std::string_view key;
  json only;
};

const std::vector<OneForm>& one_forms() {
  static const std::vector<OneForm> all{
      {"shift", 1.0},
      {"use_dynamic_shifting", false},
      {"invert_sigmas", false},
      {"stochastic_sampling", false},
      {"use_karras_sigmas", false},
      {"use_exponential_sigmas", false},
      {"use_beta_sigmas", false},
      {"use_lu_lambdas", false},
      {"use_flow_sigmas", false},
      {"algorithm_type", "dpmsolver++"},
      {"solver_order", 2},
      {"solver_type", "midpoint"},
      {"lower_order_final", true},
      {"euler_at_final", false},
      {"final_sigmas_type", "zero"},
      {"interpolation_type", "linear"},
      {"thresholding", false},
  };
  return all;
}

}  // namespace

SchedulerFormat scheduler_of_run(const Settings& run) {
  const auto draw = options_in<DrawOptions>(run);
  const std::string& process = run.at("diffusion.process").value;
  if (process == "ddpm") return ddpm_scheduler(options_in<DdpmOptions>(run), draw);
  if (process == "edm") return edm_scheduler(options_in<EdmOptions>(run), draw);
  if (process == "flow") return flow_scheduler(options_in<FlowOptions>(run), draw);
  fail(ExitCode::options, "diffusers has no scheduler for diffusion.process = {}", process);
}

Settings scheduler_settings(const ConfigReader& scheduler) {
  const Known& known = known_scheduler(scheduler);
  const auto setting = [&](std::string_view value) { return Setting{std::string(value), scheduler.where()}; };
  Settings settings;
  if (known.process == "ddpm") {
    DdpmOptions options;
    read_ddpm(scheduler, options);
    settings = settings_of(options);
    settings.erase("ddpm.learned_variance");  // the network decides
    const bool leading = spacing_of(scheduler) == "leading";
    settings["sampler.spacing"] = setting(leading ? "leading" : "trailing");
    settings["sampler.offset"] = setting(std::to_string(leading ? scheduler.integer("steps_offset", 0) : 0));
    if (known.solver == "ddim")
      settings["sampler.end"] =
          setting(scheduler.flag("set_alpha_to_one", known.scheduler == "DDIMScheduler") ? "image" : "first");
    const bool clips = known.solver == "ddpm" || known.scheduler == "DDIMScheduler";
    settings["sampler.clip"] = setting(clips && scheduler.flag("clip_sample", true) ? "true" : "false");
    if (known.solver == "ddpm")
      settings["sampler.variance"] = setting(
          scheduler.text("variance_type", "fixed_small").starts_with("fixed_large") ? "large" : "small");
  } else if (known.process == "edm") {
    EdmOptions options;
    options.sigma_min = scheduler.number("sigma_min", options.sigma_min);
    options.sigma_max = scheduler.number("sigma_max", options.sigma_max);
    options.sigma_data = scheduler.number("sigma_data", options.sigma_data);
    options.rho = scheduler.number("rho", options.rho);
    scheduler.require("sigma_schedule", "karras");
    scheduler.require("prediction_type", "epsilon");
    settings = settings_of(options);
    settings["sampler.clip"] = setting("false");
  } else {
    FlowOptions options;
    options.time_scale = static_cast<double>(scheduler.integer("num_train_timesteps", 1000));
    settings = settings_of(options);
    settings["sampler.clip"] = setting("false");
  }
  settings["diffusion.process"] = setting(known.process);
  settings["sampler.solver"] = setting(known.solver);
  return settings;
}

std::string scheduler_remark(const ConfigReader& scheduler) {
  const Known& known = known_scheduler(scheduler);
  std::vector<std::string> remarks;
  if (known.scheduler == "PNDMScheduler")
    remarks.emplace_back("its times are gone through by sampler.solver = ddim");
  else if (known.process == "ddpm" && spacing_of(scheduler) == "linspace")
    remarks.emplace_back("sampler.spacing = trailing stands for its timestep_spacing = linspace");
  else if (known.solver == "dpm++2m" && known.process == "ddpm" && spacing_of(scheduler) == "leading")
    remarks.emplace_back(other_leading_times);
  for (const OneForm& form : one_forms())
    if (const std::string value = scheduler.differing(std::string(form.key), form.only); !value.empty())
      remarks.push_back(fmt::format("its {} is not followed", value));
  if (known.process == "ddpm" && scheduler.flag("clip_sample", true))
    if (const std::string value = scheduler.differing("clip_sample_range", 1.0); !value.empty())
      remarks.push_back(fmt::format("its {} is not followed: estimates are clipped to [-1, 1]", value));
  return remarks.empty() ? "" : fmt::format("{}: {}", known.scheduler, fmt::join(remarks, "; "));
}

}  // namespace ganymede
